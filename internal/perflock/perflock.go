// Package perflock has perf watch the kernel's locks, for comparison. It keeps everything
// that the tracepoints say, and adds it up afterwards, so that nothing is estimated; what
// waits for a lock within a wait for another one it counts for both.
package perflock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Thread is what perf says of a thread.
type Thread struct {
	Waits  int
	Waited time.Duration
}

// Find looks for a perf that can record the kernel's locks here.
func Find(ctx context.Context, dir string) (string, error) {
	path, err := exec.LookPath("perf")
	if err != nil {
		return "", fmt.Errorf("perf is not installed: %w", err)
	}
	file := filepath.Join(dir, "try.data")
	if out, err := exec.CommandContext(ctx, path, "lock", "record", "-a", "-o", file, "--", "true").CombinedOutput(); err != nil {
		return "", fmt.Errorf("perf lock record does not work here: %w\n%s", err, out)
	}
	return path, os.Remove(file)
}

// Watch has perf watch the whole machine while work is done, and returns what it says of
// each thread, by TID.
func Watch(ctx context.Context, perf, dir string, work func() error) (map[int]Thread, error) {
	file := filepath.Join(dir, "lock.data")
	if err := record(ctx, perf, file, work); err != nil {
		return nil, fmt.Errorf("perf lock record: %w", err)
	}
	report := exec.CommandContext(ctx, perf, "lock", "contention", "-t", "-i", file)
	var out, more bytes.Buffer
	report.Stdout, report.Stderr = &out, &more
	if err := report.Run(); err != nil {
		return nil, fmt.Errorf("perf lock contention: %w\n%s", err, &more)
	}
	// Tables go to one or the other, by version.
	return parse(out.String() + more.String())
}

// record has perf write a file while work is done. It is told by a pipe, and answers by
// another one, so that it has begun when work does.
func record(ctx context.Context, perf, file string, work func() error) error {
	orders, order, err := os.Pipe()
	if err != nil {
		return err
	}
	defer order.Close()
	answers, answer, err := os.Pipe()
	if err != nil {
		return errors.Join(err, orders.Close())
	}
	defer answers.Close()
	cmd := exec.CommandContext(ctx, perf, "lock", "record", "-a", "-o", file, "--control", "fd:3,4")
	cmd.ExtraFiles = []*os.File{orders, answer}
	var complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &complaints, &complaints
	err = errors.Join(cmd.Start(), orders.Close(), answer.Close())
	if err != nil {
		return err
	}
	tell := func(what string) error {
		if _, err := fmt.Fprintln(order, what); err != nil {
			return err
		}
		_, err := answers.Read(make([]byte, 16)) // "ack", or nothing if it has ended
		return err
	}
	if err = tell("ping"); err == nil {
		err = work()
	}
	if err = errors.Join(err, tell("stop"), cmd.Wait()); err != nil {
		return fmt.Errorf("%w\n%s", err, &complaints)
	}
	return nil
}

// parse reads lines such as "20    420.13 ms     24.70 ms     21.01 ms    15174   cat".
func parse(table string) (map[int]Thread, error) {
	threads := map[int]Thread{}
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		waits, err := strconv.Atoi(f[0])
		if err != nil {
			continue // a heading
		}
		waited, err := time.ParseDuration(f[1] + f[2])
		if err != nil {
			return nil, fmt.Errorf("perf lock contention: %q: %w", line, err)
		}
		tid, err := strconv.Atoi(f[7])
		if err != nil {
			return nil, fmt.Errorf("perf lock contention: %q: %w", line, err)
		}
		threads[tid] = Thread{waits, waited}
	}
	if len(threads) == 0 {
		return nil, fmt.Errorf("perf lock contention says nothing of threads: %q", table)
	}
	return threads, nil
}
