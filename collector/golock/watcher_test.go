package golock_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/golock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// asTarget is set where the test binary, a Go program like others, is what is probed.
const asTarget = "NARROWS_TEST_GOLOCK_TARGET"

func TestMain(m *testing.M) {
	if os.Getenv(asTarget) != "" {
		target()
		return
	}
	os.Exit(m.Run())
}

const (
	held  = 50 * time.Millisecond
	times = 5
)

// target says when it is there, and waits for a lock some times when it is told to.
func target() {
	fmt.Println("ready")
	var line string
	fmt.Scanln(&line)
	var lock sync.Mutex
	counted := 0
	for range times {
		lock.Lock()
		var done sync.WaitGroup
		started := make(chan bool)
		done.Go(func() {
			close(started)
			lock.Lock()
			counted++
			lock.Unlock()
		})
		<-started
		time.Sleep(held)
		lock.Unlock()
		done.Wait()
	}
	if counted == times {
		fmt.Println("done")
	}
	io.ReadAll(os.Stdin)
}

// TestWatcher probes a program of the Go version at hand, on whatever kernel runs.
func TestWatcher(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it loads eBPF programs")
	}
	shared, err := core.Load(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	w, err := golock.Open(shared, golock.Limit{Slowdown: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	events, err := ringbuf.NewReader(shared.Events())
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asTarget+"=1")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	says(t, output, "ready")
	binaries := process.NewBinaries()
	defer binaries.Close()
	scanned, ok := process.ScanOne(uint32(cmd.Process.Pid), binaries)
	if !ok {
		t.Fatal("the target cannot be read")
	}
	w.Attach(uint32(cmd.Process.Pid), scanned.Mappings)
	waitForProbes(t, w)
	fmt.Fprintln(input, "go")
	says(t, output, "done")
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(input.Close(), cmd.Wait()); err != nil {
		t.Errorf("the target did not survive: %v", err)
	}
	locks := map[uint64]bool{}
	waits := 0
	all, stacks := read(t, events)
	for _, e := range all {
		what, ok := w.Explain(e)
		if !ok {
			t.Errorf("nothing is known of %+v", e)
		}
		if what.Kind != "sync.Mutex" || e.Length() < uint64(held/2) {
			continue
		}
		waits++
		locks[e.Lock] = true
		checkStack(t, scanned, stacks[e.Stack], "target.func1")
		checkStack(t, scanned, stacks[e.ReleaseStack], "golock_test.target")
		if !what.Lock || e.Weight != 1 || e.Releaser.PID != uint32(cmd.Process.Pid) || e.Stack == e.ReleaseStack || e.Goroutine == 0 {
			t.Errorf("a wait %+v", e)
		}
	}
	if waits != times || len(locks) != 1 || locks[0] {
		t.Errorf("%d waits for the locks %v, want %d for one", waits, locks, times)
	}
	if got := w.Targets(); len(got) != 1 || got[0].Detached != nil || got[0].Hits == 0 {
		t.Errorf("targets %+v", got)
	}
}

func says(t *testing.T, output io.Reader, want string) {
	t.Helper()
	var line string
	if _, err := fmt.Fscanln(output, &line); err != nil || line != want {
		t.Fatalf("the target says %q (%v), want %q", line, err, want)
	}
}

func waitForProbes(t *testing.T, w *golock.Watcher) {
	t.Helper()
	for range 1000 {
		if all := w.Targets(); len(all) > 0 && (all[0].Probed || all[0].Detached != nil) {
			if all[0].Detached != nil {
				t.Fatal(all[0].Detached)
			}
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the target was not probed")
}

// checkStack looks for a function in a stack. Nothing tells the kernel of the target's
// mappings here, so that it is one that was walked by frame pointers.
func checkStack(t *testing.T, scanned process.Scanned, stack unwind.Stack, function string) {
	t.Helper()
	if stack.End != bpf.CoreUnwindEndUNWIND_COMPLETE || stack.Version != 0 || stack.HasMemory {
		t.Errorf("the stack %#x ended with code %d", stack.User, stack.End)
	}
	var names []string
	for _, address := range stack.User {
		m, ok := process.Find(scanned.Mappings, address-1)
		if !ok {
			t.Fatalf("%#x in the stack %#x is no code", address, stack.User)
		}
		file, err := m.Binary.File()
		if err != nil {
			t.Fatal(err)
		}
		table, err := file.GoTable()
		if err != nil {
			t.Fatal(err)
		}
		offset := address - 1 - m.Start + m.Offset
		segment, _ := file.Segment(offset)
		frames, err := table.Frames(segment.Address(offset))
		if err != nil || len(frames) == 0 {
			t.Fatalf("%#x in the stack %#x has no name: %v", address, stack.User, err)
		}
		for _, f := range frames {
			names = append(names, f.Function)
		}
	}
	if !slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, function) }) {
		t.Errorf("%s is not in the stack %q", function, names)
	}
}

// read takes all waits and their stacks out of the ring buffer.
func read(t *testing.T, events *ringbuf.Reader) (all []golock.Event, stacks map[window.StackID]unwind.Stack) {
	t.Helper()
	stacks = map[window.StackID]unwind.Stack{}
	if err := events.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		record, err := events.Read()
		if errors.Is(err, ringbuf.ErrFlushed) {
			return all, stacks
		}
		if err != nil {
			t.Fatal(err)
		}
		if !golock.IsEvent(record.RawSample) {
			if s, err := wait.DecodeStack(record.RawSample); err == nil {
				stacks[s.ID] = s.Stack
			}
			continue
		}
		e, err := golock.Decode(record.RawSample)
		if err != nil {
			t.Error(err)
		}
		all = append(all, e)
	}
}
