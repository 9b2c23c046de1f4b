package costs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// Narrows records the whole machine.
type Narrows struct {
	Binary    string // the narrows executable
	Frequency int
	Dir       string // where sessions may be written
}

// Name says how it records.
func (n Narrows) Name() string { return fmt.Sprintf("narrows record, %d Hz", n.Frequency) }

const (
	// conditionWindow is short so that every measured second pays for the end of a
	// window as well: its names and its files. The default of ten seconds costs less.
	conditionWindow = time.Second
	// settle is when the first window has been held, named and written, and each
	// second is like the next: a window, the two seconds that events are held, and a
	// little for the symbol tables that only the first window has to read.
	settle = 3300 * time.Millisecond
)

// Begin starts a recording and waits until its first window is done.
func (n Narrows) Begin(ctx context.Context) (func() error, error) {
	dir, err := os.MkdirTemp(n.Dir, "session")
	if err != nil {
		return nil, fmt.Errorf("making room for a session: %w", err)
	}
	cmd := exec.CommandContext(ctx, n.Binary, "record", "-F", strconv.Itoa(n.Frequency), "--window", conditionWindow.String(),
		"-o", filepath.Join(dir, "s"))
	end := func() error {
		// Interrupted, it keeps what it has and exits with success.
		err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait())
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := startAndAwaitLine(cmd); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := sleep(ctx, settle); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// startAndAwaitLine starts a command and waits for its first line on standard
// error, by which it says that it is at work.
func startAndAwaitLine(cmd *exec.Cmd) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	defer read.Close()
	cmd.Stderr = write
	err = cmd.Start()
	write.Close()
	if err != nil {
		return fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		return errors.Join(fmt.Errorf("%s did not start to work, it said %q: %w", cmd.Path, line, err), cmd.Wait())
	}
	return nil
}

func sleep(ctx context.Context, duration time.Duration) error {
	select {
	case <-time.After(duration):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recorded is what a finished recording says of itself.
type recorded struct {
	cost  session.OwnCost
	start time.Time // of the first window: from here on samples counted
	begun time.Time // when the process was started
}

// recordFor records the whole machine for a while, with everything else at its
// default.
func (n Narrows) recordFor(ctx context.Context, duration time.Duration) (r recorded, err error) {
	dir, err := os.MkdirTemp(n.Dir, "session")
	if err != nil {
		return recorded{}, fmt.Errorf("making room for a session: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	folder := filepath.Join(dir, "s")
	cmd := exec.CommandContext(ctx, n.Binary, "record", "-F", strconv.Itoa(n.Frequency), "-d", duration.String(), "-o", folder)
	var complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &complaints
	r.begun = time.Now()
	if err := cmd.Run(); err != nil {
		return recorded{}, fmt.Errorf("recording for %v: %w\n%s", duration, err, &complaints)
	}
	s, err := session.Open(folder)
	if err != nil {
		return recorded{}, err
	}
	if s.OwnCost == nil {
		return recorded{}, errors.New("the session does not say what it cost")
	}
	profile, err := s.Profile(session.CPU)
	if err != nil {
		return recorded{}, err
	}
	r.cost, r.start = *s.OwnCost, time.Unix(0, profile.TimeNanos)
	return r, nil
}
