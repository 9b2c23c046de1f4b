package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/analysis/waits"
)

// The whole machine for a second: what is printed is what the session's files say, and a
// look at the session afterwards prints the same.
func TestLocksOfTheMachine(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "locks", "-d", "1s", "-o", "s")
	r := succeed(t, cmd)
	checkPlainLines(t, r.stderr, "recording the whole machine for 1s")
	dir := filepath.Join(cmd.Dir, "s")
	checkSession(t, dir)
	for _, part := range []string{"Where threads waited", "\n  idle ", "written to  s\n", "next        "} {
		if !strings.Contains(r.stdout, part) {
			t.Errorf("the output lacks %q:\n%s", part, r.stdout)
		}
	}
	again := narrows(t, "locks", "s")
	again.Dir = cmd.Dir
	if out := succeed(t, again).stdout; out != r.stdout {
		t.Errorf("a second look says\n%s\nthe first said\n%s", out, r.stdout)
	}
	asJSON := narrows(t, "locks", "--json", "s")
	asJSON.Dir = cmd.Dir
	var d waits.Document
	if err := json.Unmarshal([]byte(succeed(t, asJSON).stdout), &d); err != nil {
		t.Fatal(err)
	}
	checkStates(t, &d, readProfile(t, filepath.Join(dir, session.OffCPU)))
}

// haggle has goroutines wait for a lock that each holds for a while.
func haggle() {
	var lock sync.Mutex
	var all sync.WaitGroup
	end := time.Now().Add(3 * time.Second)
	for range 4 {
		all.Go(func() {
			for time.Now().Before(end) {
				bargain(&lock)
			}
		})
	}
	all.Wait()
}

//go:noinline
func bargain(lock *sync.Mutex) {
	lock.Lock()
	time.Sleep(5 * time.Millisecond)
	lock.Unlock()
}

// Where goroutines of a command wait is in the table, by its function and kind.
func TestLocksOfGoCommand(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "locks", "-o", "s", "--", filepath.Join(programs, hagglerName))
	r := succeed(t, cmd)
	if !strings.Contains(r.stdout, "bargain") {
		t.Errorf("the output lacks the function that waits:\n%s", r.stdout)
	}
	var waited int64
	for _, s := range readProfile(t, filepath.Join(cmd.Dir, "s", session.LockWait)).Sample {
		if s.HasLabel("lock_kind", "sync.Mutex") {
			waited += s.Value[1]
		}
	}
	// Three of four wait at any time, for three seconds; probes come a moment after the start.
	if waited < 4e9 || waited > 9.5e9 {
		t.Errorf("goroutines waited %.1f s for the mutex, want somewhat less than 9", float64(waited)/1e9)
	}
}

// checkStates compares the document's times by state with those of the profile.
func checkStates(t *testing.T, d *waits.Document, p *profile.Profile) {
	t.Helper()
	if len(d.States) < 2 {
		t.Errorf("the states are %+v", d.States)
	}
	for _, s := range d.States {
		if want := weight(p, func(o *profile.Sample) bool { return o.HasLabel("state", s.State) }); s.NS != want {
			t.Errorf("%d ns of %s, and %d by the profile", s.NS, s.State, want)
		}
	}
}
