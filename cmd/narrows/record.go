package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
	"github.com/narrows-profiler/narrows/collector"
)

type recordCommand struct {
	Duration  time.Duration `short:"d" help:"How long to record. Without it: until Ctrl-C, or until COMMAND ends."`
	Frequency int           `short:"F" default:"99" help:"CPU samples a second on each CPU."`
	Output    string        `short:"o" placeholder:"DIR" help:"Session folder to create; or a file ending in .svg (flame graph) or .pb.gz (pprof) for a quick look."`
	PID       []int         `short:"p" help:"Keep only these processes and their descendants."`
	Cgroup    []string      `help:"Keep only what runs in this cgroup (v2) and those beneath it, by its path."`
	Window    time.Duration `default:"10s" help:"Length of the windows a session is made of."`
	Command   []string      `arg:"" optional:"" passthrough:"" help:"Command to start and profile, after --."`
}

func (recordCommand) Help() string {
	return `Examples:
  sudo narrows record -d 10s                      the whole machine, for ten seconds
  sudo narrows record -o build -- make -j4        a command and all it starts
  sudo narrows record -d 30s -p 4242 -o hot.svg   one process, straight to a flame graph

Ctrl-C ends a recording early and keeps it.`
}

func (c *recordCommand) Run(ctx context.Context, s streams) error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	config, err := c.config()
	if err != nil {
		return err
	}
	if err := requireKernel(); err != nil {
		return err
	}
	if recording.IsFile(c.Output) {
		return c.toFile(ctx, s, config)
	}
	return c.toSession(ctx, s, config)
}

func (c *recordCommand) config() (collector.Config, error) {
	config := collector.Config{Frequency: c.Frequency, Window: c.Window}
	for _, pid := range c.PID {
		if err := unix.Kill(pid, 0); errors.Is(err, unix.ESRCH) {
			return config, advisedError{fmt.Errorf("there is no process %d", pid), "look it up with ps or pgrep"}
		}
	}
	config.Selection.PIDs = c.PID
	for _, path := range c.Cgroup {
		ids, err := recording.CgroupIDs(path)
		if err != nil {
			return config, err
		}
		config.Selection.Cgroups = append(config.Selection.Cgroups, ids...)
	}
	config.Selection.All = len(c.PID) == 0 && len(c.Cgroup) == 0 && len(c.Command) == 0
	if len(c.Command) > 0 {
		path, err := exec.LookPath(c.Command[0])
		if err != nil {
			return config, advisedError{fmt.Errorf("starting %s: %w", c.Command[0], err), "check the name, or give the whole path after --"}
		}
		c.Command[0] = path
	}
	return config, nil
}

// toSession records into a session folder.
func (c *recordCommand) toSession(ctx context.Context, s streams, config collector.Config) error {
	writer, err := newSession(c.Output, config)
	if err != nil {
		return err
	}
	rec, err := recording.Start(context.WithoutCancel(ctx), config, recording.SessionSink{Writer: writer})
	if err != nil {
		return errors.Join(err, writer.Finish(ctx, session.Outcome{Status: session.Failed, Reason: err.Error()}, session.Summary{}))
	}
	interrupted, workErr := c.record(ctx, s, rec)
	summary, err := rec.Stop()
	err = errors.Join(workErr, err)
	err = errors.Join(err, writer.Finish(context.WithoutCancel(ctx), outcome(err, interrupted), summary))
	fmt.Fprint(s.out, recording.Describe(summary))
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\nwritten to  %s\nnext        go tool pprof -top %[1]s/%s\n            narrows flame %[1]s\n", writer.Path(), session.CPU)
	return nil
}

// toFile records into memory and writes one file.
func (c *recordCommand) toFile(ctx context.Context, s streams, config collector.Config) error {
	var sink recording.FileSink
	rec, err := recording.Start(context.WithoutCancel(ctx), config, &sink)
	if err != nil {
		return err
	}
	_, workErr := c.record(ctx, s, rec)
	summary, err := rec.Stop()
	if err = errors.Join(workErr, err); err != nil {
		return err
	}
	if err := sink.WriteFile(c.Output, "CPU time"); err != nil {
		return err
	}
	fmt.Fprint(s.out, recording.Describe(summary))
	fmt.Fprintf(s.out, "\nwritten to  %s\n", c.Output)
	return nil
}

// record waits for the command, the duration, an interrupt or a failure.
func (c *recordCommand) record(ctx context.Context, s streams, rec *recording.Recording) (interrupted bool, err error) {
	progress := newProgress(s.err)
	defer progress.done()
	what := "the whole machine"
	ended := make(chan error, 1)
	if len(c.Command) > 0 {
		what = c.Command[0]
		command, err := c.start(rec)
		if err != nil {
			return false, err
		}
		go func() { ended <- command.Wait() }()
		defer stopCommand(command, ended)
	} else if len(c.PID)+len(c.Cgroup) > 0 {
		what = "the selected processes"
	}
	var timeout <-chan time.Time
	if c.Duration > 0 {
		timer := time.NewTimer(c.Duration)
		defer timer.Stop()
		timeout = timer.C
	}
	progress.start("recording "+what, c.Duration)
	select {
	case <-timeout:
	case err := <-ended:
		ended <- err
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			fmt.Fprintf(s.err, "%s ended: %v\n", what, err)
		}
	case <-ctx.Done():
		return true, nil
	case <-rec.Failed():
	}
	return false, nil
}

// start runs the command, marked before it exists so that its first instruction
// counts.
func (c *recordCommand) start(rec *recording.Recording) (*exec.Cmd, error) {
	command := exec.Command(c.Command[0], c.Command[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	before := collector.Now()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Command[0], err)
	}
	rec.Collector().Select(command.Process.Pid, before)
	return command, nil
}

// stopCommand ends the command we started, if it still runs.
func stopCommand(command *exec.Cmd, ended chan error) {
	const grace = 2 * time.Second
	select {
	case <-ended:
		return
	default:
	}
	// It may have ended by itself meanwhile: then there is nobody to signal.
	_ = command.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(grace):
		_ = command.Process.Kill()
		<-ended
	}
}

// newSession creates the folder of a recording.
func newSession(dir string, config collector.Config) (*session.Writer, error) {
	host, err := session.LocalHost()
	if err != nil {
		return nil, fmt.Errorf("describing this host: %w", err)
	}
	return session.Create(dir, recording.Info(host, os.Args, config))
}

func outcome(err error, interrupted bool) session.Outcome {
	switch {
	case err != nil:
		return session.Outcome{Status: session.Failed, Reason: err.Error()}
	case interrupted:
		return session.Outcome{Status: session.Interrupted, Reason: "ended early on request"}
	}
	return session.Outcome{Status: session.Complete}
}
