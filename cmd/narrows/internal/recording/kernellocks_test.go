package recording

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/internal/heldlock"
	"github.com/narrows-profiler/narrows/internal/perflock"
)

// recordWaits records where the machine waits while work is done, and returns the sums.
func recordWaits(t *testing.T, work func()) (map[collector.Signal]*profile.Profile, session.Summary) {
	t.Helper()
	requireRoot(t)
	sink := &keepAll{}
	config := collector.Config{Frequency: 99, Window: 2 * time.Second, Waits: true, Selection: collector.Selection{All: true}}
	rec, err := Start(t.Context(), config, sink)
	if err != nil {
		t.Fatal(err)
	}
	work()
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	sums := map[collector.Signal]*profile.Profile{}
	for signal, profiles := range sink.profiles {
		if sums[signal], err = profile.Merge(profiles); err != nil {
			t.Fatal(err)
		}
	}
	return sums, summary
}

// byTID keeps the samples of threads.
func byTID(tids []int) func(*profile.Sample) bool {
	return func(s *profile.Sample) bool {
		return len(s.NumLabel["tid"]) == 1 && slices.Contains(tids, int(s.NumLabel["tid"][0]))
	}
}

// sums adds up both values of the samples that match.
func sums(p *profile.Profile, match func(*profile.Sample) bool) (count int64, nanoseconds float64) {
	for _, s := range p.Sample {
		if match(s) {
			count += s.Value[0]
			nanoseconds += float64(s.Value[1])
		}
	}
	return count, nanoseconds
}

// TestKernelLocksAreTrue checks the profiles of locks against threads that measured how long
// they waited, and against perf in the same seconds.
func TestKernelLocksAreTrue(t *testing.T) {
	if emulated() {
		t.Skip("an emulated machine is too slow for the threads' own clocks to tell the truth")
	}
	for name, lock := range map[string]heldlock.Lock{"file": heldlock.File, "pipe": heldlock.Pipe} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var truth heldlock.Truth
			hold := func() (err error) {
				truth, err = heldlock.Hold(heldlock.Plan{Lock: lock, Dir: dir, Waiters: 4, Rounds: 30, Hold: 20 * time.Millisecond})
				return err
			}
			perf, noPerf := perflock.Find(t.Context(), dir)
			var peer map[int]perflock.Thread
			profiles, _ := recordWaits(t, func() {
				var err error
				if noPerf != nil {
					err = hold()
				} else {
					peer, err = perflock.Watch(t.Context(), perf, dir, hold)
				}
				if err != nil {
					t.Error(err)
				}
			})
			checkKernelLock(t, profiles, truth, map[heldlock.Lock]string{heldlock.File: "rwsem", heldlock.Pipe: "mutex"}[lock])
			if noPerf != nil {
				t.Skip("not compared with perf: ", noPerf)
			}
			comparePerfLock(t, profiles[collector.LockWait], truth, peer)
		})
	}
}

func checkKernelLock(t *testing.T, profiles map[collector.Signal]*profile.Profile, truth heldlock.Truth, kind string) {
	t.Helper()
	ofWaiters := byTID(truth.Waiters)
	// The runtime of these threads has locks of its own, which look like mutexes.
	isKind := func(s *profile.Sample) bool { return s.HasLabel("lock_kind", kind) && !s.HasLabel("state", "futex") }
	match := func(s *profile.Sample) bool { return ofWaiters(s) && isKind(s) }
	waits, time := sums(profiles[collector.LockWait], match)
	t.Logf("%d waits of %.3f s; the threads measured %d of %.3f s", waits, time/1e9, truth.Waits, truth.Waited.Seconds())
	if off := math.Abs(time/float64(truth.Waited) - 1); off > 0.03 || math.Abs(float64(waits)/float64(truth.Waits)-1) > 0.03 {
		t.Errorf("%.3f s seen, where the threads waited %.3f s: %.1f %% off", time/1e9, truth.Waited.Seconds(), 100*off)
	}
	var owned, rooted float64
	for _, s := range profiles[collector.LockWait].Sample {
		if !match(s) {
			continue
		}
		if o := s.NumLabel["owner"]; len(o) == 1 && (int(o[0]) == truth.Holder || slices.Contains(truth.Waiters, int(o[0]))) {
			owned += float64(s.Value[1])
		}
		leaf := s.Location[0].Line
		if len(leaf) > 0 && (strings.Contains(leaf[0].Function.Name, "mutex_lock") || strings.HasPrefix(leaf[0].Function.Name, "rwsem_down_")) &&
			findFunction(s, []string{"github.com/narrows-profiler/narrows/internal/heldlock.startWriters.func1"}) != "" {
			rooted += float64(s.Value[1])
		}
		if !s.HasLabel("state", "lock") || len(s.Label["lock"]) != 1 || !strings.HasPrefix(s.Label["lock"][0], "kernel:") {
			t.Errorf("labels are %v", s.Label)
		}
	}
	if owned < 0.97*time {
		t.Errorf("of %.3f s only %.3f s are for a thread that had the lock", time/1e9, owned/1e9)
	}
	if rooted < 0.9*time {
		t.Errorf("of %.3f s only %.3f s have a stack from the lock to the function that wrote", time/1e9, rooted/1e9)
	}
	blamed := byTID(append(truth.Waiters, truth.Holder))
	_, blame := sums(profiles[collector.LockBlame], func(s *profile.Sample) bool { return blamed(s) && isKind(s) })
	if blame < 0.97*time {
		t.Errorf("of %.3f s only %.3f s are blamed on who had the lock", time/1e9, blame/1e9)
	}
}

func comparePerfLock(t *testing.T, p *profile.Profile, truth heldlock.Truth, peer map[int]perflock.Thread) {
	t.Helper()
	var theirs time.Duration
	for _, tid := range truth.Waiters {
		theirs += peer[tid].Waited
	}
	ofWaiters := byTID(truth.Waiters)
	_, ours := sums(p, func(s *profile.Sample) bool {
		return ofWaiters(s) && len(s.Label["lock"]) == 1 && strings.HasPrefix(s.Label["lock"][0], "kernel:")
	})
	t.Logf("all locks of these threads: %.3f s, by perf %.3f s", ours/1e9, theirs.Seconds())
	if off := math.Abs(ours/float64(theirs) - 1); off > 0.05 {
		t.Errorf("%.3f s seen, where perf sees %.3f s", ours/1e9, theirs.Seconds())
	}
}
