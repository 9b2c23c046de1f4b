package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// outputGrace is how long a process that a test left behind may hold the test's output open.
const outputGrace = 5 * time.Second

// Run runs the plan's binaries one after the other and writes what happens to events, from Up with the given kernel release to Done. A binary that fails, hangs or cannot
// start is an event, not an error; the error says that events could not be written.
func Run(ctx context.Context, plan Plan, release string, events io.Writer) error {
	to := &sender{out: events}
	to.send(Event{Kind: Up, Release: release})

	alive, stop := context.WithCancel(ctx)
	var ticker sync.WaitGroup
	ticker.Go(func() { sendAlive(alive, to) })
	for _, binary := range plan.Binaries {
		to.send(Event{Kind: Begin, Package: binary.Package})
		to.send(runBinary(ctx, binary, plan.Env, to))
	}
	stop()
	ticker.Wait()
	to.send(Event{Kind: Done})
	return to.failure()
}

func sendAlive(ctx context.Context, to *sender) {
	tick := time.NewTicker(AlivePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			to.send(Event{Kind: Alive})
		}
	}
}

// runBinary runs one binary in a process group of its own, which does not outlive it, and returns its End event.
func runBinary(ctx context.Context, binary Binary, env []string, to *sender) Event {
	ctx, cancel := context.WithTimeout(ctx, binary.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary.Path, binary.Args...)
	cmd.Dir = binary.Dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout = output{to: to, name: binary.Package}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	killGroup := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = killGroup
	cmd.WaitDelay = outputGrace

	begin := time.Now()
	err := cmd.Run()
	end := Event{Kind: End, Package: binary.Package, Elapsed: time.Since(begin), ExitCode: -1}
	if cmd.ProcessState == nil {
		end.Reason = fmt.Sprintf("it did not start: %v", err)
		return end
	}
	end.ExitCode = cmd.ProcessState.ExitCode()
	_ = killGroup() // ESRCH: it left nobody behind
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		end.Reason = fmt.Sprintf("killed after %v: it did not even end by its own -test.timeout", binary.Limit)
	case errors.Is(err, exec.ErrWaitDelay):
		end.Reason = fmt.Sprintf("a process that it left behind held its output open for %v", outputGrace)
	case end.ExitCode < 0:
		end.Reason = err.Error()
	}
	return end
}
