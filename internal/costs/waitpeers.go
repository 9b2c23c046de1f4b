package costs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/internal/heldlock"
	"github.com/narrows-profiler/narrows/internal/offcputime"
	"github.com/narrows-profiler/narrows/internal/perflock"
)

// waitPeers has others watch where the same threads wait, in the same seconds, and these
// threads measure it themselves.
func (b *bench) waitPeers(ctx context.Context) error {
	for _, lock := range []struct {
		name string
		lock heldlock.Lock
	}{{"a file's lock", heldlock.File}, {"a pipe's lock", heldlock.Pipe}} {
		if err := b.lockPeers(ctx, lock.name, lock.lock); err != nil {
			return err
		}
	}
	return b.offCPUPeers(ctx)
}

// peerRounds is how often the same is measured: enough for an interval.
const peerRounds = 6

func (b *bench) lockPeers(ctx context.Context, name string, lock heldlock.Lock) error {
	what := "4 threads that wait for " + name + ": waited, "
	perf, err := perflock.Find(ctx, b.config.Dir)
	if err != nil {
		b.table.skip(what+"by perf lock", err)
		return nil
	}
	var own, ours, theirs []float64
	for range peerRounds {
		var truth heldlock.Truth
		var peer map[int]perflock.Thread
		p, err := b.recordWaits(ctx, session.LockWait, func() (err error) {
			peer, err = perflock.Watch(ctx, perf, b.config.Dir, func() (err error) {
				truth, err = heldlock.Hold(heldlock.Plan{Lock: lock, Dir: b.config.Dir, Waiters: 4, Rounds: 25, Hold: 20 * time.Millisecond})
				return err
			})
			return err
		})
		if err != nil {
			return err
		}
		var perfs time.Duration
		for _, tid := range truth.Waiters {
			perfs += peer[tid].Waited
		}
		own = append(own, milliseconds(truth.Waited))
		theirs = append(theirs, milliseconds(perfs))
		ours = append(ours, waited(p, func(s *profile.Sample) bool {
			return slices.Contains(truth.Waiters, int(s.NumLabel["tid"][0])) && len(s.Label["lock"]) == 1 && strings.HasPrefix(s.Label["lock"][0], "kernel:")
		}))
	}
	b.table.add(what+"by their own clocks", "ms", Median(own))
	b.table.add(what+"by narrows", "ms", Median(ours))
	b.table.add(what+"by perf lock", "ms", Median(theirs))
	return nil
}

// offCPUPeers has offcputime of libbpf-tools watch a process that sleeps, and waits for CPUs.
func (b *bench) offCPUPeers(ctx context.Context) error {
	const what = "a process with 8 threads that sleep and wait for CPUs: off its CPUs, "
	tool, err := offcputime.Find()
	if err != nil {
		b.table.skip(what+"by offcputime", err)
		return nil
	}
	var ours, theirs []float64
	for range peerRounds {
		sleeper, err := offcputime.Start(ctx, b.config.Dir)
		if err != nil {
			return err
		}
		var peer time.Duration
		p, err := b.recordWaits(ctx, session.OffCPU, func() (err error) {
			peer, err = offcputime.Watch(ctx, tool, sleeper)
			return err
		})
		if err != nil {
			return err
		}
		theirs = append(theirs, milliseconds(peer))
		ours = append(ours, waited(p, func(s *profile.Sample) bool {
			pid := int64(sleeper.PID())
			return s.NumLabel["pid"][0] == pid && s.NumLabel["tid"][0] != pid
		}))
	}
	b.table.add(what+"by narrows", "ms", Median(ours))
	b.table.add(what+"by offcputime", "ms", Median(theirs))
	return nil
}

// waited adds up the time of samples that match, in ms.
func waited(p *profile.Profile, match func(*profile.Sample) bool) float64 {
	var ns int64
	for _, s := range p.Sample {
		if len(s.NumLabel["tid"]) == 1 && len(s.NumLabel["pid"]) == 1 && match(s) {
			ns += s.Value[1]
		}
	}
	return float64(ns) / 1e6
}

// recordWaits records the machine while work is done, and returns one of the profiles.
func (b *bench) recordWaits(ctx context.Context, name string, work func() error) (p *profile.Profile, err error) {
	dir, err := os.MkdirTemp(b.config.Dir, "session")
	if err != nil {
		return nil, fmt.Errorf("making room for a session: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	folder := filepath.Join(dir, "s")
	cmd := exec.CommandContext(ctx, b.config.Binary, "record", "-o", folder)
	if err := startAndAwaitLine(cmd); err != nil {
		return nil, err
	}
	err = errors.Join(sleep(ctx, time.Second), work(), cmd.Process.Signal(os.Interrupt), cmd.Wait())
	if err != nil {
		return nil, err
	}
	s, err := session.Open(folder)
	if err != nil {
		return nil, err
	}
	return s.Profile(name)
}
