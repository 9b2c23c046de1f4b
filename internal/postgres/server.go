// Package postgres runs a PostgreSQL server of its own, for measurements and tests with a
// real program that waits for locks and disks. [Start] makes a cluster in a new folder and
// listens on a socket there, and nowhere else; [Server.Stop] removes both.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrMissing says that PostgreSQL is not installed where Debian puts it.
var ErrMissing = errors.New("PostgreSQL is not installed")

// Server is a running server.
type Server struct {
	folder, programs string
}

// Start makes and starts a server with pgbench's tables. It needs root, and works as the user
// postgres, since the server refuses to run as root.
func Start(ctx context.Context) (*Server, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return nil, ErrMissing
	}
	folder, err := os.MkdirTemp("", "narrows-postgres")
	if err != nil {
		return nil, fmt.Errorf("making room for a database: %w", err)
	}
	s := &Server{folder: folder, programs: found[len(found)-1]}
	data := filepath.Join(folder, "data")
	for _, command := range [][]string{
		{"chown", "postgres", folder},
		s.as("initdb", "-D", data, "-A", "trust"),
		s.as("pg_ctl", "-D", data, "-w", "-l", filepath.Join(folder, "log"), "-o", "-c listen_addresses= -c unix_socket_directories="+folder, "start"),
		s.Bench("-i", "-s", "2", "-q"),
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("running %s: %w\n%s", strings.Join(command, " "), err, out), s.Stop())
		}
	}
	return s, nil
}

// as is the command line of one of PostgreSQL's programs.
func (s *Server) as(program string, arguments ...string) []string {
	return append([]string{"runuser", "-u", "postgres", "--", filepath.Join(s.programs, program)}, arguments...)
}

// Bench is a command line of pgbench on the server.
func (s *Server) Bench(arguments ...string) []string {
	return append(s.as("pgbench", "-h", s.folder), append(arguments, "postgres")...)
}

// Script puts a file of SQL where pgbench can read it, and returns its name.
func (s *Server) Script(sql string) (string, error) {
	name := filepath.Join(s.folder, "script.sql")
	if err := os.WriteFile(name, []byte(sql), 0o644); err != nil {
		return "", fmt.Errorf("writing a script for pgbench: %w", err)
	}
	return name, nil
}

// PID is the server's first process, the parent of all others.
func (s *Server) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.folder, "data", "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("looking for the server's process: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

// Stop ends the server, if there is one, and removes its folder.
func (s *Server) Stop() error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	command := s.as("pg_ctl", "-D", filepath.Join(s.folder, "data"), "-m", "immediate", "stop")
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("ending PostgreSQL: %w\n%s", err, out)
	}
	return errors.Join(err, os.RemoveAll(s.folder))
}
