package recording

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/lock"
)

func stuckProgram(t *testing.T) string {
	t.Helper()
	return compileOptimized(t, "gcc", filepath.Join(t.TempDir(), "stuck"), "testdata/locks/stuck.c", "-pthread")
}

// stuckTarget is a program that waits until its input ends.
type stuckTarget struct {
	*exec.Cmd
	input io.Closer
	truth map[string]float64
}

// startStuck starts a program and waits until its threads do.
func startStuck(t *testing.T, cmd *exec.Cmd) *stuckTarget {
	t.Helper()
	s := &stuckTarget{Cmd: cmd, truth: map[string]float64{}}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.input = input
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &s.truth); err != nil {
		t.Fatalf("the target printed %q: %v", line, err)
	}
	return s
}

// Two threads that wait for each other are a deadlock, whether they began before the recording
// or while it was; a third one that waits for one of them is none.
func TestDeadlockInProgress(t *testing.T) {
	requireRoot(t)
	checkDeadlock(t, stuckProgram(t), false)
}

func checkDeadlock(t *testing.T, program string, namespaced bool) {
	t.Helper()
	start := func() *stuckTarget {
		cmd := exec.Command(program, "deadlock")
		if namespaced {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		}
		return startStuck(t, cmd)
	}
	before := start()
	var during *stuckTarget
	sink, _ := recordLocks(t, func() {
		during = start()
		time.Sleep(500 * time.Millisecond)
	})
	last := sink.windows[len(sink.windows)-1]
	for _, target := range []*stuckTarget{before, during} {
		var found int
		for _, cycle := range last.Deadlocks {
			if int(cycle[0].Waiter.PID) != target.Process.Pid {
				continue
			}
			found++
			var names []string
			for _, w := range cycle {
				names = append(names, w.Waiter.Name)
				if len(cycle) == 2 && (w.Holder.Name == w.Waiter.Name || w.Holder.TID == 0) {
					t.Errorf("%s waits for %s", w.Waiter.Name, w.Holder.Name)
				}
				checkStuckWait(t, sink, w.Lock.ID, w.Waiter.TID)
			}
			slices.Sort(names)
			if !slices.Equal(names, []string{"one", "two"}) {
				t.Errorf("a deadlock of %v", names)
			}
		}
		if found != 1 {
			t.Errorf("%d deadlocks of process %d, want one: %+v", found, target.Process.Pid, last.Deadlocks)
		}
	}
}

// checkStuckWait looks for the place where a thread of a deadlock waits.
func checkStuckWait(t *testing.T, sink *windowSink, id string, tid uint32) {
	t.Helper()
	for _, s := range sink.merged(t, collector.LockWait).Sample {
		if s.HasLabel("lock", id) && s.NumLabel["tid"][0] == int64(tid) && findFunction(s, []string{"one", "two"}) != "" {
			return
		}
	}
	t.Errorf("the profile does not say where thread %d waits for %s", tid, id)
}

func lossOf(s session.Summary, reason string) int64 {
	for _, l := range s.Losses {
		if l.Reason == reason {
			return l.Count
		}
	}
	return 0
}

// runStuck runs one of the programs that end by themselves.
func runStuck(t *testing.T, mode string) (*windowSink, session.Summary, lockRun) {
	t.Helper()
	cmd := exec.Command(stuckProgram(t), mode)
	cmd.Stderr = os.Stderr
	var out []byte
	sink, summary := recordLocks(t, func() {
		var err error
		if out, err = cmd.Output(); err != nil {
			t.Fatal(err)
		}
	})
	run := lockRun{pid: cmd.Process.Pid, truth: map[string]float64{}}
	if err := json.Unmarshal(out, &run.truth); err != nil {
		t.Fatalf("the target printed %q: %v", out, err)
	}
	return sink, summary, run
}

// Words in memory that there is none of are counted, and no lock.
func TestFutexInUnmappedMemory(t *testing.T) {
	sink, summary, run := runStuck(t, "unmapped")
	if lost := lossOf(summary, "word of a lock unreadable"); lost < 300 {
		t.Errorf("%d words could not be read, though 300 calls were made for such", lost)
	}
	for _, w := range sink.windows {
		for id := range w.Locks {
			if pid := 0; scan(id, &pid) && pid == run.pid {
				t.Errorf("lock %s", id)
			}
		}
	}
}

func scan(id string, pid *int) bool {
	_, err := fmt.Sscanf(id, "%d:", pid)
	return err == nil
}

// More locks than there is room for are counted as lost, and the rest is right.
func TestManyFutexes(t *testing.T) {
	sink, summary, run := runStuck(t, "distinct")
	full := lossOf(summary, "wait for a lock not counted: too many locks")
	var locks int
	var waits float64
	for _, w := range sink.windows {
		for id, l := range w.Locks {
			if pid := 0; id == lock.Others || scan(id, &pid) && pid == run.pid {
				locks++
				waits += l.Waits
			}
		}
	}
	t.Logf("%d locks, %.0f waits, %d without room", locks, waits, full)
	if full < 30_000 || waits+float64(full) < 99_000 {
		t.Errorf("of %v waits %.0f are counted, and %d as lost", run.truth["waits"], waits, full)
	}
}

// Memory that one lock was in, and another one is: its waits are those of both.
func TestAddressOfAnotherLock(t *testing.T) {
	sink, _, run := runStuck(t, "reuse")
	checkLock(t, sink, run)
}

// A condition variable has no holder: who signals is who ends the wait.
func TestConditionVariable(t *testing.T) {
	sink, _, run := runStuck(t, "condition")
	l, pairs := sink.lock(run)
	var all float64
	for _, ns := range pairs {
		all += ns
	}
	t.Logf("%+v %v", l, pairs)
	if by := pairs["pair:consumer:stuck"] + pairs["pair:consumer:producer"]; l.Total == 0 || by < 0.9*all {
		t.Errorf("of %.3f s of waiting, the one who signals ended %.3f s", all/1e9, by/1e9)
	}
	if l.Acquisitions < 280 || l.Acquisitions > 320 {
		t.Errorf("%.0f waits for 300 signals", l.Acquisitions)
	}
}

// A process that is killed while its threads wait, and one whose waits a tracer interrupts, end
// no recording, and what they waited is known.
func TestFutexOfKilledAndTraced(t *testing.T) {
	requireRoot(t)
	program := stuckProgram(t)
	var killed *stuckTarget
	var traced []byte
	sink, _ := recordLocks(t, func() {
		killed = startStuck(t, exec.Command(program, "die"))
		time.Sleep(200 * time.Millisecond)
		if err := killed.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		killed.Wait()
		var err error
		if traced, err = exec.Command(program, "traced").Output(); err != nil {
			t.Fatal(err)
		}
	})
	var child struct{ Child int }
	if err := json.Unmarshal(traced, &child); err != nil {
		t.Fatal(err)
	}
	waited := map[int]float64{}
	var interrupted float64
	for _, w := range sink.windows {
		for id, l := range w.Locks {
			pid := 0
			if scan(id, &pid) {
				waited[pid] += l.Total
			}
			if pid == child.Child {
				interrupted += l.Outcomes[2]
			}
		}
	}
	if w := waited[killed.Process.Pid] / 1e9; w < 3*0.2*0.9 {
		t.Errorf("three threads of a process that was killed waited for %.3f s in all", w)
	}
	// What the kernel goes on with by itself after a stop (restart_syscall) is no futex call.
	if w := waited[child.Child] / 1e9; w == 0 || interrupted == 0 {
		t.Errorf("a traced process waited for %.3f s, and was interrupted %.0f times", w, interrupted)
	}
}
