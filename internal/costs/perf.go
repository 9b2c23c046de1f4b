package costs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Perf is perf record of the whole machine with frame pointers, on the same event
// as Narrows.
type Perf struct {
	Binary    string
	Frequency int
	Dir       string // where its data may be written
}

// Name says how it records.
func (p Perf) Name() string { return fmt.Sprintf("perf record -g -a, %d Hz", p.Frequency) }

// FindPerf looks for a perf that works on this kernel: distributions install
// wrappers that only say which package is missing.
func FindPerf(ctx context.Context, frequency int, dir string) (Perf, error) {
	path, err := exec.LookPath("perf")
	if err != nil {
		return Perf{}, fmt.Errorf("perf is not installed: %w", err)
	}
	p := Perf{Binary: path, Frequency: frequency, Dir: dir}
	if _, err := p.recordFor(ctx, 100*time.Millisecond); err != nil {
		return Perf{}, fmt.Errorf("perf does not work here: %w", err)
	}
	return p, nil
}

// command leaves build IDs alone (-B): collecting them fills the user's cache of
// binaries, and perf 6.1 dies of one that is longer than 20 bytes.
func (p Perf) command(ctx context.Context, file string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, p.Binary, append([]string{"record", "-q", "-B", "-e", "cpu-clock", "-F", strconv.Itoa(p.Frequency), "-g", "-a", "-o", file}, args...)...)
}

// Begin starts a recording and waits until it has settled.
func (p Perf) Begin(ctx context.Context) (func() error, error) {
	dir, err := os.MkdirTemp(p.Dir, "perf")
	if err != nil {
		return nil, fmt.Errorf("making room for perf's data: %w", err)
	}
	cmd := p.command(ctx, filepath.Join(dir, "perf.data"))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting perf: %w", err), os.RemoveAll(dir))
	}
	end := func() error {
		err := cmd.Process.Signal(os.Interrupt)
		// perf exits by the signal that it was told to end with.
		var exit *exec.ExitError
		if waitErr := cmd.Wait(); waitErr != nil && !errors.As(waitErr, &exit) {
			err = errors.Join(err, waitErr)
		}
		info, statErr := os.Stat(filepath.Join(dir, "perf.data"))
		if err == nil && (statErr != nil || info.Size() == 0) {
			err = fmt.Errorf("perf wrote nothing: %s", &complaints)
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := sleep(ctx, settle); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// perfCost is the CPU time that perf took, in user and kernel mode.
type perfCost struct {
	record time.Duration
	report time.Duration // naming the frames and printing, which Narrows does while it records
	failed error         // why report could not; nil if it could
}

// recordFor records the whole machine for a while and then has it reported.
func (p Perf) recordFor(ctx context.Context, duration time.Duration) (cost perfCost, err error) {
	dir, err := os.MkdirTemp(p.Dir, "perf")
	if err != nil {
		return perfCost{}, fmt.Errorf("making room for perf's data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "perf.data")
	record := p.command(ctx, file, "--", "sleep", strconv.FormatFloat(duration.Seconds(), 'f', -1, 64))
	if out, err := record.CombinedOutput(); err != nil {
		return perfCost{}, fmt.Errorf("perf record: %w\n%s", err, out)
	}
	report := exec.CommandContext(ctx, p.Binary, "report", "--stdio", "-i", file)
	if err := report.Run(); err != nil {
		return perfCost{record: cpuTime(record), failed: fmt.Errorf("perf report: %w", err)}, nil
	}
	return perfCost{record: cpuTime(record), report: cpuTime(report)}, nil
}

func cpuTime(ended *exec.Cmd) time.Duration {
	return ended.ProcessState.UserTime() + ended.ProcessState.SystemTime()
}
