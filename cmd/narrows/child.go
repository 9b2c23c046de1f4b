package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// child is the command that record starts. It shares our standard streams and, on
// a terminal, our process group: Ctrl-C reaches it as it would without us.
type child struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // what Wait said, once exited is closed
}

// startChild starts a program that LookPath found.
func startChild(arguments []string) (*child, error) {
	c := &child{cmd: exec.Command(arguments[0], arguments[1:]...), exited: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := c.cmd.Start(); err != nil {
		return nil, advisedError{
			fmt.Errorf("starting %s: %w", arguments[0], err),
			"it must be a program of this machine, or a script whose first line is #! and its interpreter",
		}
	}
	go func() {
		defer close(c.exited)
		c.err = c.cmd.Wait()
	}()
	return c, nil
}

// stop asks the program to end, if it still runs, kills it if it does not, and
// returns when it is gone.
func (c *child) stop() {
	const grace = 2 * time.Second
	select {
	case <-c.exited:
		return
	default:
	}
	// It may end by itself at this moment: then there is nobody to signal.
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(grace):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

// failure is nil if the program, which has ended by itself, succeeded.
func (c *child) failure() error {
	if c.err == nil {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(c.err, &exit) {
		return fmt.Errorf("waiting for %s: %w", c.cmd.Path, c.err)
	}
	status := exit.ExitCode()
	if wait, ok := exit.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		status = 128 + int(wait.Signal())
	}
	return childError{fmt.Sprintf("%s: %v", c.cmd.Path, exit), status}
}

// childError says that the recorded program failed. The recording did not: it is
// kept as complete, and narrows ends with the program's status.
type childError struct {
	text   string
	status int
}

func (e childError) Error() string { return e.text }
