package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/analysis/report"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/analysis/waits"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
)

type locksCommand struct {
	Duration  time.Duration `short:"d" help:"How long to record. Without it: until Ctrl-C, or until COMMAND ends."`
	Frequency int           `short:"F" default:"99" help:"CPU samples a second on each CPU: they say what holders of locks run."`
	Output    string        `short:"o" placeholder:"DIR" help:"Session folder to create."`
	PID       []int         `short:"p" help:"Keep only these processes and their descendants."`
	Cgroup    []string      `help:"Keep only what runs in this cgroup (v2) and those beneath it, by its path."`
	Window    time.Duration `default:"10s" help:"Length of the windows a session is made of."`
	Service   string        `help:"Show only what this service waits for, of a session of narrows run."`
	JSON      bool          `name:"json" help:"Print waits.json."`
	cacheFlags
	probeFlags

	Input []string `arg:"" optional:"" name:"session" passthrough:"partial" help:"A session recorded before; or, after --, a command to start and watch."`
}

func (locksCommand) Help() string {
	return `Says for which locks threads wait, who holds those and does what meanwhile, and what the longest waits
lead to: from client to service to lock to disk. Deadlocks come first. Waits of threads with nothing to do
are kept apart.

Examples:
  sudo narrows locks -d 10s                   the whole machine, for ten seconds
  sudo narrows locks -d 10s -p 4242           one process
  sudo narrows locks -- ./server --once       a command and all it starts
  narrows locks narrows-20260102T150405Z      a session that record, run or locks has made

Ctrl-C ends a recording early and keeps it.`
}

// Validate refuses what makes no sense before anything is touched.
func (c *locksCommand) Validate() error {
	if c.Duration < 0 {
		return fmt.Errorf("a duration of %v is over before it begins", c.Duration)
	}
	if recording.IsFile(c.Output) {
		return fmt.Errorf("-o %s: locks makes a session folder; profiles to draw are in it", c.Output)
	}
	if len(c.Input) > 0 && c.Input[0] != "--" {
		if len(c.Input) > 1 && strings.HasPrefix(c.Input[1], "-") {
			return fmt.Errorf("%s stands after the session: flags come before it, as in narrows locks --json SESSION", c.Input[1])
		}
		if len(c.Input) > 1 {
			return fmt.Errorf("%d sessions are named, and one is shown; a command to start comes after --", len(c.Input))
		}
		if c.Duration > 0 || len(c.PID)+len(c.Cgroup) > 0 || c.Output != "" {
			return errors.New("a session that is shown is not recorded: -d, -p, --cgroup and -o have no meaning; a command to start comes after --")
		}
	}
	return errors.Join(validRecording(c.Frequency, c.Window), c.probeFlags.validate())
}

func (c *locksCommand) Run(ctx context.Context, s streams) error {
	if len(c.Input) > 0 && c.Input[0] != "--" {
		boundMemory()
		return c.show(s, c.Input[0])
	}
	record := recordCommand{
		Duration: c.Duration, Frequency: c.Frequency, Output: c.Output, PID: c.PID, Cgroup: c.Cgroup, Window: c.Window, Waits: true,
		cacheFlags: c.cacheFlags, probeFlags: c.probeFlags, Command: c.Input,
	}
	return record.run(ctx, s, func(_ session.Summary, dir string) error { return c.show(s, dir) })
}

// show prints what a session says of waits.
func (c *locksCommand) show(s streams, dir string) error {
	d, sess, err := readWaits(dir)
	if err != nil {
		return err
	}
	if c.Service != "" {
		if d, err = onlyService(d, c.Service); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(s.out, d)
	}
	if err := report.Waits(s.out, d, colourful(s.out)); err != nil {
		return err
	}
	for _, warning := range sess.Warnings {
		fmt.Fprintf(s.out, "warning     %s\n", warning)
	}
	fmt.Fprintf(s.out, "\nwritten to  %s\n", dir)
	next := "narrows flame " + filepath.Join(dir, session.OffCPU)
	if len(d.Locks) > 0 {
		fmt.Fprintf(s.out, "who waited  %s\nwho let go  %s\nmeanwhile   %s\n", filepath.Join(dir, session.LockWait), filepath.Join(dir, session.LockBlame), filepath.Join(dir, session.LockHeld))
		next = "go tool pprof -http=localhost:0 " + filepath.Join(dir, session.LockHeld)
	}
	fmt.Fprintf(s.out, "next        %s\n", next)
	return nil
}

// readWaits reads the document of a session.
func readWaits(dir string) (*waits.Document, *session.Session, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, nil, advisedError{fmt.Errorf("reading the session %s: it is no folder", dir), "name a session folder, or put -- before a command to start"}
	}
	sess, err := session.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	data, err := sess.ReadFile(waits.FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, advisedError{fmt.Errorf("the session %s has no %s: it was made without waits, or was cut off", dir, waits.FileName), "record a new one: sudo narrows locks -d 10s"}
	}
	if err != nil {
		return nil, nil, err
	}
	d, err := waits.Decode(data)
	return d, sess, err
}

// onlyService keeps what is of one service.
func onlyService(d *waits.Document, service string) (*waits.Document, error) {
	kept, ok := d.Of(service)
	if !ok {
		return nil, advisedError{fmt.Errorf("no thread of the service %s waited for anything", service), "services have names in sessions of narrows run; to see all, leave --service away"}
	}
	return kept, nil
}
