// Package child runs a program as a process of ours: the kernel kills it if this
// process dies first, Ctrl-C on the terminal does not reach it, and the end of its
// standard error is kept for when it fails.
package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a program that was started.
type Process struct {
	cmd    *exec.Cmd
	stderr tail
	exited chan struct{}
}

// Start starts a command between its input and output, which may be nil.
func Start(cmd *exec.Cmd, input io.Reader, output io.Writer) (*Process, error) {
	c := &Process{cmd: cmd, exited: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = input, output, &c.stderr
	// Its own process group keeps a terminal's Ctrl-C, which ends a recording
	// and keeps it, from ending the program under the recording's hands.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	// A grandchild that keeps the pipes open must not keep Wait.
	c.cmd.WaitDelay = time.Second
	started := make(chan error, 1)
	go c.run(started)
	return c, <-started
}

// run starts the process and waits for it on one thread: the kernel sends the
// parent-death signal when the thread that forked ends, and Go ends idle threads.
func (c *Process) run(started chan<- error) {
	defer close(c.exited)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.cmd.Start()
	started <- err
	if err == nil {
		_ = c.cmd.Wait() // how it ended is in its ProcessState
	}
}

// ID is the number of the process.
func (c *Process) ID() int { return c.cmd.Process.Pid }

// State is how the process ended, once it has.
func (c *Process) State() *os.ProcessState { return c.cmd.ProcessState }

// Exited is closed when the process has ended, by itself or by being stopped.
func (c *Process) Exited() <-chan struct{} { return c.exited }

// Stop ends the process as End does; an error says that it had ended by itself.
func (c *Process) Stop(grace time.Duration) error {
	select {
	case <-c.exited:
		return fmt.Errorf("it ended by itself (%v)%s", c.cmd.ProcessState, c.LastWords())
	default:
	}
	return c.End(grace)
}

// End signals the process and waits for it; without grace it is killed at once.
// It is reaped by run alone, so its PID cannot have been given to another.
func (c *Process) End(grace time.Duration) error {
	if grace > 0 {
		if err := c.signal(syscall.SIGTERM); err != nil {
			return err
		}
		patience := time.NewTimer(grace)
		defer patience.Stop()
		select {
		case <-c.exited:
			return nil
		case <-patience.C:
		}
	}
	if err := c.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-c.exited
	return nil
}

// signal sends a signal unless the process has ended; os.Process serialises it
// with the reaping.
func (c *Process) signal(signal syscall.Signal) error {
	if err := c.cmd.Process.Signal(signal); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to process %d: %w", signal, c.cmd.Process.Pid, err)
	}
	return nil
}

// LastWords is the end of the standard error, to be added to an error.
func (c *Process) LastWords() string {
	words := c.stderr.text()
	if words == "" {
		return "; it wrote nothing to its standard error"
	}
	return "; the end of its standard error:\n" + words
}
