package costs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
)

// shells are scripts at work, each in a process group of its own.
type shells []*exec.Cmd

// startShells runs a script so many times at once; $0 in it is the tool.
func startShells(ctx context.Context, tool, script string, times int) (shells, error) {
	path, err := exec.LookPath(tool)
	if err != nil {
		return nil, fmt.Errorf("it is not installed: %w", err)
	}
	var running shells
	for range times {
		cmd := exec.CommandContext(ctx, "sh", "-c", script, path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			return nil, errors.Join(fmt.Errorf("starting %s: %w", tool, err), running.stop())
		}
		running = append(running, cmd)
	}
	return running, nil
}

// stop kills them and all that they started.
func (s shells) stop() error {
	var failures []error
	for _, cmd := range s {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
			failures = append(failures, fmt.Errorf("it ended by itself: %w", err))
		}
		_ = cmd.Wait() // killed, as asked for
	}
	return errors.Join(failures...)
}
