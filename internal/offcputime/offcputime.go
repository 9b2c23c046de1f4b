// Package offcputime has offcputime, of libbpf-tools, watch where a process waits, for
// comparison. It sees waits whose beginning and end it sees, so that only threads are
// compared that begin and end meanwhile: those of a [Sleeper].
package offcputime

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed source/sleeper.c
var source []byte

// settle is how long the tool takes to begin.
const settle = 3 * time.Second

// Find looks for the tool.
func Find() (string, error) {
	for _, name := range []string{"offcputime", "/usr/sbin/offcputime"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("offcputime is not installed: it is in Debian's libbpf-tools")
}

// Sleeper is a process that waits to be told to begin, has threads wait, and ends.
type Sleeper struct {
	cmd   *exec.Cmd
	input io.WriteCloser
}

// Start compiles the program in dir and starts it.
func Start(ctx context.Context, dir string) (*Sleeper, error) {
	file, program := filepath.Join(dir, "sleeper.c"), filepath.Join(dir, "sleeper")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		return nil, fmt.Errorf("compiling the sleeper: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "cc", "-O1", "-pthread", "-o", program, file).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling the sleeper: %w\n%s", err, out)
	}
	s := &Sleeper{cmd: exec.CommandContext(ctx, program)}
	var err error
	if s.input, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the sleeper: %w", err)
	}
	output, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the sleeper: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the sleeper: %w", err)
	}
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the sleeper: %w", err), s.Run())
	}
	return s, nil
}

// PID is the process's. Threads that count have other TIDs.
func (s *Sleeper) PID() int { return s.cmd.Process.Pid }

// Run lets the process do its work, and returns when it has ended.
func (s *Sleeper) Run() error {
	if err := errors.Join(s.input.Close(), s.cmd.Wait()); err != nil {
		return fmt.Errorf("running the sleeper: %w", err)
	}
	return nil
}

// Watch has the tool watch the process while it works, and returns how long its threads
// were off their CPUs.
func Watch(ctx context.Context, tool string, s *Sleeper) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, tool, "-p", strconv.Itoa(s.PID()))
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting offcputime: %w", err)
	}
	time.Sleep(settle)
	err := errors.Join(s.Run(), cmd.Process.Signal(os.Interrupt), cmd.Wait())
	if err != nil {
		return 0, fmt.Errorf("offcputime: %w\n%s", err, &complaints)
	}
	return sum(out.String(), s.PID())
}

// thread is the line after a stack, such as "    -                sleeper (1234)".
var thread = regexp.MustCompile(`^\s+-\s+.* \((\d+)\)$`)

// sum adds up the threads but the first; after each stack come its thread and its time.
func sum(output string, pid int) (time.Duration, error) {
	var total time.Duration
	tid := 0
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if m := thread.FindStringSubmatch(line); m != nil {
			tid, _ = strconv.Atoi(m[1]) // digits
			continue
		}
		if tid == 0 {
			continue
		}
		us, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("offcputime: %q where a time was expected: %w", line, err)
		}
		if tid != pid {
			total += time.Duration(us) * time.Microsecond
		}
		tid = 0
	}
	if total == 0 {
		return 0, fmt.Errorf("offcputime says nothing of threads: %q", output)
	}
	return total, nil
}
