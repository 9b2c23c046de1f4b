package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/analysis/report"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/cgroup"
)

type recordCommand struct {
	Duration  time.Duration `short:"d" help:"How long to record. Without it: until Ctrl-C, or until COMMAND ends."`
	Frequency int           `short:"F" default:"99" help:"CPU samples a second on each CPU."`
	Output    string        `short:"o" placeholder:"DIR" help:"Session folder to create; or a file ending in .svg (flame graph) or .pb.gz (pprof) for a quick look."`
	PID       []int         `short:"p" help:"Keep only these processes and their descendants."`
	Cgroup    []string      `help:"Keep only what runs in this cgroup (v2) and those beneath it, by its path."`
	Window    time.Duration `default:"10s" help:"Length of the windows a session is made of."`
	allocFlags
	Kernel kernelAllocFlags `embed:""`
	Waits  bool             `default:"true" negatable:"" help:"Record where threads wait and for which locks as well, which slows down programs that do little else."`
	Faults bool             `default:"true" negatable:"" help:"Record which code makes memory resident as well."`
	cacheFlags
	probeFlags
	// Nobody is asked unless a URL is given: the question tells what runs here.
	Debuginfod []string `placeholder:"URL" help:"Fetch debug files that this host does not have from this debuginfod server."`

	Command []string `arg:"" optional:"" passthrough:"partial" help:"Command to start and profile, after --."`
}

func (recordCommand) Help() string {
	return `Examples:
  sudo narrows record -d 10s                      the whole machine, for ten seconds
  sudo narrows record -o build -- make -j4        a command and all it starts
  sudo narrows record -d 30s -p 4242 -o hot.svg   one process, straight to a flame graph
  sudo narrows record -d 30s --alloc -p 4242      also where it allocates memory, and what it never frees:
                                                  go tool pprof -sample_index=inuse_space DIR/alloc.pb.gz
  sudo narrows record -d 30s --kernel-alloc       also where the kernel allocates memory for itself, for whom,
                                                  and what it never frees

Ctrl-C ends a recording early and keeps it. COMMAND gets what the terminal sends, is ended when the
recording ends before it, and its exit status becomes that of narrows; if narrows is killed, COMMAND
goes on without it.`
}

// Validate refuses what makes no sense before anything is touched.
func (c *recordCommand) Validate() error {
	if c.Duration < 0 {
		return fmt.Errorf("a duration of %v is over before it begins", c.Duration)
	}
	if err := c.probeFlags.validate(); err != nil {
		return err
	}
	if err := errors.Join(c.validAllocs(), c.Kernel.valid(c.Output)); err != nil {
		return err
	}
	return validRecording(c.Frequency, c.Window)
}

// validRecording checks what record and run have in common.
func validRecording(frequency int, window time.Duration) error {
	return collector.Config{Frequency: frequency, Window: window}.Check()
}

func (c *recordCommand) Run(ctx context.Context, s streams) error {
	return c.run(ctx, s, func(summary session.Summary, dir string) error {
		fmt.Fprint(s.out, leaksOf(summary, dir), recording.Describe(summary))
		if d, _, err := readWaits(dir); err == nil && len(d.States) > 0 {
			fmt.Fprintf(s.out, "waits       %s\n", report.WaitsInBrief(d))
		}
		fmt.Fprintf(s.out, "\nwritten to  %s\nnext        go tool pprof -top %[1]s/%s\n            narrows flame %[1]s\n", dir, session.CPU)
		fmt.Fprintf(s.out, "            narrows locks %s\n", dir)
		if summary.Memory != nil {
			fmt.Fprintf(s.out, "            go tool pprof -top -sample_index=inuse_space %s/%s\n", dir, session.Alloc)
		}
		if summary.KernelMemory != nil {
			fmt.Fprintf(s.out, "            go tool pprof -top -sample_index=inuse_space %s/%s\n", dir, session.KernelAlloc)
		}
		return nil
	})
}

// run records, and lets show say how a recording into a session went.
func (c *recordCommand) run(ctx context.Context, s streams, show func(summary session.Summary, dir string) error) error {
	defer boundRecording()()
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	config, err := c.config()
	if err != nil {
		return err
	}
	config.Announce = func(text string) { fmt.Fprintln(s.err, text) }
	if err := requireKernel(); err != nil {
		return err
	}
	if recording.IsFile(c.Output) {
		return c.toFile(ctx, s, config)
	}
	return c.toSession(ctx, s, config, show)
}

func (c *recordCommand) config() (collector.Config, error) {
	config := collector.Config{Frequency: c.Frequency, Window: c.Window, Waits: c.Waits && !recording.IsFile(c.Output),
		Faults: c.Faults && !recording.IsFile(c.Output), MaxSlowdown: c.share()}
	for _, pid := range c.PID {
		if err := unix.Kill(pid, 0); pid <= 0 || errors.Is(err, unix.ESRCH) {
			return config, advisedError{fmt.Errorf("there is no process %d", pid), "look it up with ps or pgrep"}
		}
	}
	config.Selection.PIDs = c.PID
	config.AllocMean, config.KernelAllocMean = c.mean(), c.Kernel.mean()
	for _, path := range c.Cgroup {
		ids, err := cgroup.IDs(path)
		if err != nil {
			return config, advisedError{err, "name a folder of the cgroup v2 hierarchy, such as systemd-cgls shows them"}
		}
		config.Selection.Cgroups = append(config.Selection.Cgroups, ids...)
		folder, err := cgroup.Folder(path)
		if err != nil {
			return config, err
		}
		config.Selection.CgroupFolders = append(config.Selection.CgroupFolders, folder)
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
func (c *recordCommand) toSession(ctx context.Context, s streams, config collector.Config, show func(session.Summary, string) error) error {
	writer, err := newSession(c.Output, config)
	if err != nil {
		return err
	}
	alive := context.WithoutCancel(ctx)
	sink := recording.NewSessionSink(writer)
	rec, err := c.start(alive, config, sink)
	if err != nil {
		return errors.Join(err, discard(alive, writer, err))
	}
	work := c.record(ctx, s, rec)
	summary, err := rec.Stop()
	if work.notStarted != nil {
		return errors.Join(work.notStarted, err, discard(alive, writer, work.notStarted))
	}
	err = errors.Join(err, sink.Finish(alive, outcome(errors.Join(err, work.interruption)), summary))
	if err != nil {
		fmt.Fprint(s.out, recording.Describe(summary))
		return err
	}
	if err := show(summary, writer.Path()); err != nil {
		return errors.Join(err, work.result())
	}
	return work.result()
}

// start begins the recording, with the servers that may be asked.
func (c *recordCommand) start(ctx context.Context, config collector.Config, sink recording.Sink) (*recording.Recording, error) {
	servers, err := recording.Servers(c.Debuginfod)
	if err != nil {
		return nil, err
	}
	return recording.Start(ctx, config, sink, recording.WithServers(servers), recording.WithIndexes(c.cacheFlags.open))
}

// toFile records into memory and writes one file.
func (c *recordCommand) toFile(ctx context.Context, s streams, config collector.Config) error {
	if err := recording.CheckWritable(c.Output); err != nil {
		return err
	}
	sink, err := recording.NewFileSink(c.Output)
	if err != nil {
		return err
	}
	defer sink.Close()
	rec, err := c.start(context.WithoutCancel(ctx), config, sink)
	if err != nil {
		return err
	}
	work := c.record(ctx, s, rec)
	summary, err := rec.Stop()
	if err = errors.Join(work.notStarted, err); err != nil {
		return err
	}
	if err := sink.Write("CPU time"); err != nil {
		return err
	}
	fmt.Fprint(s.out, recording.Describe(summary))
	fmt.Fprintf(s.out, "\nwritten to  %s\n", c.Output)
	return work.result()
}

// work is how the time of a recording came to its end.
type work struct {
	notStarted   error // the command could not be started: there is nothing to keep
	failed       error // the command failed
	interruption error // a signal ended it before its time
}

func (w work) result() error {
	if w.interruption != nil {
		return w.interruption
	}
	return w.failed
}

// record waits for the command, the duration, an interrupt or a failure.
func (c *recordCommand) record(ctx context.Context, s streams, rec *recording.Recording) work {
	progress := newProgress(s.err)
	defer progress.done()
	var exited <-chan struct{}
	var command *child
	if len(c.Command) > 0 {
		progress.line("recording "+c.Command[0], c.Duration) // from here on the terminal is the command's
		// Marked before it exists, so that its first instruction counts.
		before := collector.Now()
		var err error
		if command, err = startChild(c.Command); err != nil {
			return work{notStarted: err}
		}
		defer command.stop()
		rec.Collector().Select(command.cmd.Process.Pid, before)
		exited = command.exited
	} else {
		progress.start("recording "+c.what(), c.Duration)
	}
	var timeout <-chan time.Time
	if c.Duration > 0 {
		timer := time.NewTimer(c.Duration)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-timeout:
	case <-exited:
		return work{failed: command.failure()}
	case <-ctx.Done():
		if timeout != nil || exited != nil {
			return work{interruption: context.Cause(ctx)}
		}
	case <-rec.Failed():
	}
	return work{}
}

// what names what is recorded where no command is.
func (c *recordCommand) what() string {
	if len(c.PID)+len(c.Cgroup) > 0 {
		return "the selected processes"
	}
	return "the whole machine"
}

// newSession creates the folder of a recording.
func newSession(dir string, config collector.Config) (*session.Writer, error) {
	host, err := session.LocalHost()
	if err != nil {
		return nil, fmt.Errorf("describing this host: %w", err)
	}
	return session.Create(dir, recording.Info(host, os.Args, config))
}

// discard removes the folder of a recording that did not begin.
func discard(ctx context.Context, writer *session.Writer, why error) error {
	return errors.Join(
		writer.Finish(ctx, outcome(why), session.Summary{}),
		os.RemoveAll(writer.Path()),
	)
}

// outcome says in a session how its recording ended.
func outcome(err error) session.Outcome {
	if err == nil {
		return session.Outcome{Status: session.Complete}
	}
	status := session.Failed
	if onlyInterruption(err) {
		status = session.Interrupted
	}
	return session.Outcome{Status: status, Reason: strings.ReplaceAll(err.Error(), "\n", "; ")}
}
