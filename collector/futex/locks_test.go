package futex

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/wait"
)

// waitFrom is a wait for a mutex from one time to another, ended by a thread.
func waitFrom(since, woken uint64, waker uint32) wait.Event {
	return wait.Event{
		Thread: process.Thread{Identity: process.Identity{PID: 1}, TID: 10}, NamespaceTID: 10, Weight: 1,
		Since: since, Woken: woken, Time: woken, Waker: wait.Waker{PID: 1, TID: waker}, Flags: bpf.CoreWaitFlagWAIT_RELEASED,
		Futex: wait.FutexCall{Address: 0x10, Operation: 1, Flags: private, Value: contended},
	}
}

func release(time uint64, by uint32) Release {
	return Release{Key: Key{1, 0x10}, Time: time, By: wait.Waker{PID: 1, TID: by}}
}

// describe is who held the lock until when.
func describe(holdings []Holding) (text string) {
	for _, h := range holdings {
		text += fmt.Sprintf("%d:%d-%d", h.By.TID, h.From, h.To)
		if h.Free != h.To {
			text += fmt.Sprintf("(%d)", h.Free)
		}
		text += " "
	}
	return text
}

func TestHolders(t *testing.T) {
	l := NewLocks()
	for _, r := range []Release{release(50, 2), release(150, 3), release(300, 5), release(250, 4)} { // one is late
		l.Release(r)
	}
	l.owners.of(process.Identity{PID: 1}).tids[3] = 3
	open := waitFrom(100, 0, 0)
	open.Time, open.Flags, open.Futex.Owner = 220, bpf.CoreWaitFlagWAIT_OPEN, 3
	givenUp := waitFrom(100, 200, 0)
	givenUp.Flags = bpf.CoreWaitFlagWAIT_WAKER_INTERRUPT
	givenUp.Futex.Owner = 3
	for name, c := range map[string]struct {
		event    wait.Event
		kind     string
		from, to uint64
		want     string
	}{
		"by one":                      {waitFrom(60, 150, 3), Mutex, 60, 150, "3:60-150 "},
		"by three":                    {waitFrom(100, 300, 5), Mutex, 100, 300, "3:100-150 4:150-250 5:250-300 "},
		"the part of a phase":         {waitFrom(100, 300, 5), Mutex, 160, 240, "4:160-240 "},
		"of no mutex":                 {waitFrom(100, 300, 5), Unknown, 100, 300, "5:100-300 "},
		"that goes on":                {open, Mutex, 100, 220, "3:100-150 4:150-220 "},
		"given up after one let go":   {givenUp, Mutex, 100, 200, "3:100-150 4:150-200 "},
		"given up while one held it":  {givenUp, Mutex, 100, 140, "3:100-140 "},
		"not known to have been held": {wait.Event{Thread: givenUp.Thread, Since: 400, Time: 500, Futex: wait.FutexCall{Address: 0x20, Operation: 1}}, Unknown, 400, 500, "0:400-500 "},
	} {
		if got := describe(l.Holders(c.event, c.kind, c.from, c.to)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// From when a lock was let go of until the next thread ran nobody held it.
func TestHoldersThatHaveNoCPU(t *testing.T) {
	l := NewLocks()
	l.Release(release(150, 3))
	taken := waitFrom(90, 150, 3)
	taken.Time = 180
	l.Taken(taken)
	e := waitFrom(100, 300, 4)
	if got, want := describe(l.Holders(e, Mutex, 100, 300)), "3:100-180(150) 4:180-300 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := describe(l.Holders(e, PIMutex, 100, 300)), "3:100-150 4:150-300 "; got != want {
		t.Errorf("of a lock that the kernel gives to the next: %s, want %s", got, want)
	}
	l.Forget(1000)
	late := waitFrom(1000, 1100, 3)
	late.Time = 5000
	l.Taken(late) // nobody said so before
	if got, want := describe(l.Holders(waitFrom(1050, 6000, 7), Mutex, 1050, 6000)), "3:1050-5000(1100) 7:5000-6000 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestReleasesAreBounded(t *testing.T) {
	l := NewLocks()
	for i := range uint64(3 * maxReleases) {
		l.Release(release(i, 2))
	}
	for i := range uint64(2 * maxAllReleases) {
		l.Release(Release{Key: Key{2, i}, Time: i})
	}
	kept := 0
	for _, of := range l.releases {
		kept += len(of)
	}
	if kept != l.kept || kept > maxAllReleases {
		t.Errorf("%d releases are kept, %d counted", kept, l.kept)
	}
}

func TestKinds(t *testing.T) {
	for name, c := range map[string]struct {
		call   wait.FutexCall
		thread bool
		want   string
	}{
		"glibc's mutex":           {wait.FutexCall{Operation: 1, Flags: private, Value: 2}, false, Mutex},
		"Rust's mutex":            {wait.FutexCall{Operation: 10, Flags: private, Value: 2}, false, Mutex},
		"a robust mutex":          {wait.FutexCall{Operation: 1, Flags: private, Value: waiters | 4321}, true, Mutex},
		"musl's mutex":            {wait.FutexCall{Operation: 1, Flags: private, Value: waiters | 16}, false, Mutex},
		"a PI mutex":              {wait.FutexCall{Operation: lockPI + 1, Flags: private}, true, PIMutex},
		"the end of a thread":     {wait.FutexCall{Operation: 10, Value: 4321, Owner: 4321}, true, Join},
		"a number like a thread":  {wait.FutexCall{Operation: 10, Value: 4321, Owner: 4321}, false, Unknown},
		"a semaphore":             {wait.FutexCall{Operation: 10, Flags: private, Value: 0}, false, Unknown},
		"a counter with all bits": {wait.FutexCall{Operation: 1, Flags: private, Value: 0xffffffff}, false, Unknown},
	} {
		if got := kind(c.call, c.thread); got != c.want {
			t.Errorf("%s is a %q", name, got)
		}
	}
}

// Threads of another PID namespace are found by what they are called there, those of the
// host's by their number; both must be of the process.
func TestOwners(t *testing.T) {
	root := t.TempDir()
	for tid, status := range map[int]string{
		500: "Name:\tx\nNSpid:\t500\t1\n", 501: "Name:\tNSpid: 7\nNSpid:\t501\t4\t2\n", 502: "NSpid:\t502\tno\n", 503: "Name:\tx\n",
	} {
		dir := filepath.Join(root, "500", "task", fmt.Sprint(tid))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Unix(0, 0)
	o := newOwners()
	o.root, o.now = root, func() time.Time { return now }
	now = now.Add(time.Hour)
	inside := process.Thread{Identity: process.Identity{PID: 500, Start: 1}, TID: 500}
	outside := process.Thread{Identity: process.Identity{PID: 500, Start: 2}, TID: 500}
	for _, c := range []struct {
		thread     process.Thread
		own, owner uint32
		want       uint32
	}{
		{inside, 1, 2, 501}, {inside, 1, 1, 500}, {inside, 1, 501, 0}, {inside, 1, 0, 0},
		{outside, 500, 501, 501}, {outside, 500, 999, 0},
	} {
		got, ok := o.find(c.thread, c.own, c.owner)
		if got != c.want || ok != (c.want != 0) {
			t.Errorf("the thread that %d calls %d is %d, %v, want %d", c.own, c.owner, got, ok, c.want)
		}
	}
	o.see(process.Thread{Identity: inside.Identity, TID: 777}, 9)
	if got, ok := o.find(inside, 1, 9); !ok || got != 777 {
		t.Errorf("a thread that said what it is called is %d, %v", got, ok)
	}
	o.forget()
	o.forget()
	if len(o.processes) != 0 {
		t.Error("processes are kept for ever")
	}
}
