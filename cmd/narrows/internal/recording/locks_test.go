package recording

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/futex"
	"github.com/narrows-profiler/narrows/collector/lock"
)

// windowSink keeps what windows say of locks, and their named profiles.
type windowSink struct {
	windows  []collector.Window
	profiles map[collector.Signal][]*profile.Profile
	overrun  bool // the machine was too busy for the recording to keep up
}

func (s *windowSink) Window(_ context.Context, w collector.Window) error {
	s.windows = append(s.windows, w)
	for signal, p := range w.Profiles {
		if p.PeriodType == nil {
			p.PeriodType = &profile.ValueType{} // as a reader of the file has it
		}
		s.profiles[signal] = append(s.profiles[signal], p)
	}
	return nil
}

// merged is a signal's profile of all windows.
func (s *windowSink) merged(t *testing.T, signal collector.Signal) *profile.Profile {
	t.Helper()
	p, err := profile.Merge(s.profiles[signal])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lock adds up what windows say of a program's lock, with the pairs of threads by name.
func (s *windowSink) lock(run lockRun) (sum lock.Lock, pairs map[string]float64) {
	pairs = map[string]float64{}
	for _, w := range s.windows {
		for _, l := range w.Locks {
			if !run.owns(l.ID) {
				continue
			}
			sum.Identity = l.Identity
			sum.Acquisitions += l.Acquisitions
			sum.Waits += l.Waits
			sum.Total += l.Total
			sum.Holds += l.Holds
			sum.HeldFor += l.HeldFor
			for i := range l.Outcomes {
				sum.Outcomes[i] += l.Outcomes[i]
			}
		}
		for key, e := range w.Edges {
			if run.owns(key.Lock) {
				pairs[fmt.Sprintf("pair:%s:%s", key.Waiter.Name, key.Holder.Name)] += e.Total
			}
		}
	}
	return sum, pairs
}

// recordLocks records waits while work runs.
func recordLocks(t *testing.T, work func()) (*windowSink, session.Summary) {
	t.Helper()
	requireRoot(t)
	sink := &windowSink{profiles: map[collector.Signal][]*profile.Profile{}}
	rec, err := Start(t.Context(), collector.Config{
		Frequency: 499, Window: 3 * time.Second, Waits: true, Selection: collector.Selection{All: true},
	}, sink)
	if err != nil {
		t.Fatal(err)
	}
	work()
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range summary.Losses {
		if l.Count > 0 {
			t.Logf("lost: %s: %d (%s)", l.Reason, l.Count, l.Where)
			sink.overrun = sink.overrun || strings.Contains(l.Reason, "ring buffer")
		}
	}
	return sink, summary
}

// lockRun is a program of testdata/locks that has run, and what it says of itself.
type lockRun struct {
	pid   int
	truth map[string]float64
}

// owns tells whether it is the program's lock, or a word in it.
func (r lockRun) owns(id string) bool {
	var pid int
	var address uint64
	if _, err := fmt.Sscanf(id, "%d:0x%x", &pid, &address); err != nil {
		return false
	}
	first := uint64(r.truth["lock"])
	return pid == r.pid && address >= first && address < first+uint64(r.truth["lock_bytes"])
}

// runLocks runs a program while it is recorded, until it ends by itself.
func runLocks(t *testing.T, cmd *exec.Cmd) (*windowSink, lockRun) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	sink, _ := recordLocks(t, func() {
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v", cmd.Args, err)
		}
	})
	run := lockRun{pid: cmd.Process.Pid, truth: map[string]float64{}}
	if err := json.Unmarshal(out.Bytes(), &run.truth); err != nil {
		t.Fatalf("the target printed %q: %v", out.String(), err)
	}
	return sink, run
}

// How far off what is measured may be from what the program measured of itself.
const (
	waitTolerance    = 0.02
	contendTolerance = 0.01
	holderTolerance  = 0.01
)

// checkLock compares what was recorded of a lock with the program's own account.
func checkLock(t *testing.T, sink *windowSink, run lockRun) (lock.Lock, map[string]float64) {
	t.Helper()
	l, pairs := sink.lock(run)
	off := l.Total/run.truth["wait_ns"] - 1
	acquired := l.Acquisitions/run.truth["contended"] - 1
	t.Logf("%s %q: waited %.3f s of %.3f s (%+.2f %%), %.0f of %.0f acquisitions (%+.2f %%), %.1f waits, %.0f holds of %.3f ms",
		l.ID, l.Kind, l.Total/1e9, run.truth["wait_ns"]/1e9, 100*off, l.Acquisitions, run.truth["contended"], 100*acquired, l.Waits, l.Holds, l.HeldFor/l.Holds/1e6)
	if math.Abs(off) > waitTolerance {
		t.Errorf("waits are %+.2f %% off", 100*off)
	}
	if math.Abs(acquired) > contendTolerance && run.truth["lock_bytes"] < 56 { // a pthread_rwlock_t has several words
		t.Errorf("contended acquisitions are %+.2f %% off", 100*acquired)
	}
	var profiled float64
	for _, s := range sink.merged(t, collector.LockWait).Sample {
		if len(s.Label["lock"]) > 0 && run.owns(s.Label["lock"][0]) {
			profiled += float64(s.Value[1])
		}
	}
	if math.Abs(profiled-l.Total) > 0.001*l.Total {
		t.Errorf("the profile has %.3f s of waiting, the lock %.3f s", profiled/1e9, l.Total/1e9)
	}
	return l, pairs
}

// rightHolders is the share of the waiting that is charged to the thread that held the lock.
func rightHolders(t *testing.T, truth, pairs map[string]float64) float64 {
	t.Helper()
	var all, right float64
	for _, key := range slices.Sorted(maps.Keys(truth)) {
		if !strings.HasPrefix(key, "pair:") {
			continue
		}
		all += truth[key]
		right += min(truth[key], pairs[key])
		t.Logf("%-12s %7.3f s of %7.3f s", key, pairs[key]/1e9, truth[key]/1e9)
	}
	return right / all
}

func locksProgram(t *testing.T, compiler string, args ...string) string {
	t.Helper()
	return compileOptimized(t, compiler, filepath.Join(t.TempDir(), "locks"), "testdata/locks/locks.c", append([]string{"-pthread"}, args...)...)
}

// Threads that hold a mutex in turn: how long they waited, how often and for whom is what
// they measured.
func TestLockWaitsAreTrue(t *testing.T) {
	requireRoot(t)
	program := locksProgram(t, "gcc")
	for _, c := range []struct{ mode, kind, rounds string }{
		{"mutex", "mutex", "600"}, {"robust", "mutex", "400"}, {"pi", "pi mutex", "400"}, {"long", "mutex", "200"},
		{"semaphore", "futex", "400"}, {"rwlock", "", "400"}, {"convoy", "mutex", "4000"},
	} {
		t.Run(c.mode, func(t *testing.T) {
			sink, run := runLocks(t, exec.Command(program, c.mode, "4", c.rounds))
			l, pairs := checkLock(t, sink, run)
			if c.kind != "" && l.Kind != c.kind {
				t.Errorf("it is a %q", l.Kind)
			}
			right := rightHolders(t, run.truth, pairs)
			t.Logf("%.2f %% of the waiting is charged to who held the lock", 100*right)
			// Who held it is told by who let go of it; where there are too many of them for all
			// to be seen, only sums are exact.
			if right < 1-holderTolerance && futex.Exclusive(l.Kind) && c.mode != "convoy" && !sink.overrun {
				t.Errorf("only %.2f %% of the waiting is charged to who held the lock", 100*right)
			}
		})
	}
}

// held adds up what holders of a program's lock did, by state and by the function that it was in.
func (s *windowSink) held(t *testing.T, run lockRun, functions ...string) (all float64, by map[string]float64) {
	t.Helper()
	by = map[string]float64{}
	for _, sample := range s.merged(t, collector.LockHeld).Sample {
		if len(sample.Label["lock"]) == 0 || !run.owns(sample.Label["lock"][0]) {
			continue
		}
		ns := float64(sample.Value[0])
		all += ns
		by["state:"+sample.Label["state"][0]] += ns
		if f := findFunction(sample, functions); f != "" {
			by[f] += ns
		}
	}
	return all, by
}

// blamed adds up the waiting that is charged to stacks with a function in which locks are let
// go of, and to those that end before they may reach it: on a busy machine the first stacks of
// a new process do.
func (s *windowSink) blamed(t *testing.T, run lockRun, function string) (all, there, truncated float64) {
	t.Helper()
	for _, sample := range s.merged(t, collector.LockBlame).Sample {
		if len(sample.Label["lock"]) == 0 || !run.owns(sample.Label["lock"][0]) {
			continue
		}
		all += float64(sample.Value[1])
		if findFunction(sample, []string{function}) != "" {
			there += float64(sample.Value[1])
		} else if len(sample.Label["unwind"]) > 0 {
			truncated += float64(sample.Value[1])
		}
	}
	return all, there, truncated
}

// A lock that is held across writes to a disk: others wait for the disk, in sync_file.
func TestHolderWaitsForADisk(t *testing.T) {
	requireRoot(t)
	program := locksProgram(t, "gcc", "-fno-optimize-sibling-calls")
	file := filepath.Join(t.TempDir(), "file")
	sink, run := runLocks(t, exec.Command(program, "fsync", "4", "4000", file))
	l, _ := checkLock(t, sink, run)
	all, by := sink.held(t, run, "sync_file")
	t.Logf("held: %.3f s of %.3f s waited, %v", all/1e9, l.Total/1e9, by)
	if math.Abs(all-l.Total) > 0.02*l.Total {
		t.Errorf("what holders did takes %.3f s, the waiting for them %.3f s", all/1e9, l.Total/1e9)
	}
	waited := all - by["state:running"] - by["state:runnable"]
	if by["state:io"] == 0 || by["state:io"] < 0.9*waited {
		t.Errorf("of %.3f s in which holders waited, they waited for a disk for %.3f s", waited/1e9, by["state:io"]/1e9)
	}
	if by["sync_file"] < by["state:io"] {
		t.Errorf("of %.3f s, %.3f s are in the function that syncs", all/1e9, by["sync_file"]/1e9)
	}
	all, there, truncated := sink.blamed(t, run, "let_go")
	t.Logf("of %.3f s, %.3f s are blamed on the place where the lock is let go of, %.3f s on stacks without an end", all/1e9, there/1e9, truncated/1e9)
	if (there+truncated < 0.9*all || there < 0.5*all) && !sink.overrun {
		t.Error("that is too little")
	}
}

// Other implementations of mutexes than glibc's for C, whose waits look different: Rust's knows
// no owner, and musl's lets go of one without a call if nobody waits.
func TestMutexesOfOtherLibraries(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	for _, c := range []struct {
		name, compiler, kind string
		build, args          []string
	}{
		{"C++", "g++", "mutex", []string{"-O2", "-pthread", "testdata/locks/mutex.cc"}, nil},
		{"Rust", "rustc", "mutex", []string{"-O", "testdata/locks/mutex.rs"}, nil},
		{"musl", "musl-gcc", "mutex", []string{"-O2", "testdata/locks/locks.c"}, []string{"mutex", "4", "400"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			compiler, err := exec.LookPath(c.compiler)
			if err != nil {
				t.Skipf("needs %s: %v", c.compiler, err)
			}
			program := filepath.Join(dir, c.name)
			if out, err := exec.Command(compiler, append(c.build, "-o", program)...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", c.compiler, err, out)
			}
			sink, run := runLocks(t, exec.Command(program, c.args...))
			l, pairs := checkLock(t, sink, run)
			if l.Kind != c.kind {
				t.Errorf("it is a %q", l.Kind)
			}
			if right := rightHolders(t, run.truth, pairs); len(c.args) > 0 && right < 1-3*holderTolerance && !sink.overrun {
				// Its waits say nothing of an owner, and its threads are faster than a wake.
				t.Errorf("only %.2f %% of the waiting is charged to who held the lock", 100*right)
			}
		})
	}
}

// In a PID namespace of its own a process writes other numbers into its locks than the host
// knows its threads by.
func TestLocksInPIDNamespace(t *testing.T) {
	requireRoot(t)
	program := locksProgram(t, "gcc")
	cmd := exec.Command(program, "robust", "4", "300")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	sink, run := runLocks(t, cmd)
	_, pairs := checkLock(t, sink, run)
	if right := rightHolders(t, run.truth, pairs); right < 1-holderTolerance && !sink.overrun {
		t.Errorf("only %.2f %% of the waiting is charged to who held the lock", 100*right)
	}
	for _, namespaced := range []bool{false, true} {
		checkDeadlock(t, stuckProgram(t), namespaced)
	}
}
