package unwind

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/process"
)

// inKernel is the walker at work in the kernel, with the programs for tests.
type inKernel struct {
	*testing.T
	core     *core.Core
	programs map[string]*ebpf.Program
	binaries *process.Binaries
	tables   *Tables
	tracker  *Tracker
	events   *ringbuf.Reader
}

func loadForTest(t *testing.T, rows int, scan ...*exec.Cmd) *inKernel {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading eBPF programs needs root")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Skip("eBPF programs need a kernel with BTF: ", err)
	}
	k := &inKernel{T: t}
	var err error
	if k.core, err = core.Load(rows); err != nil {
		t.Fatal(err)
	}
	spec, err := bpf.LoadProbe()
	if err != nil {
		t.Fatal(err)
	}
	if k.programs, err = k.core.LoadPrograms(spec); err != nil {
		t.Fatalf("%+v", err)
	}
	k.binaries = process.NewBinaries()
	var scanned []process.Scanned
	for _, cmd := range scan {
		s, ok := process.ScanOne(uint32(cmd.Process.Pid), k.binaries)
		if !ok {
			t.Fatal("the target cannot be scanned")
		}
		scanned = append(scanned, s)
	}
	if k.tables, err = NewTables(k.core); err != nil {
		t.Fatal(err)
	}
	if k.tracker, err = NewTracker(k.core, k.tables, scanned, nil); err != nil {
		t.Fatal(err)
	}
	if k.events, err = ringbuf.NewReader(k.core.Events()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range k.programs {
			p.Close()
		}
		if err := errors.Join(k.events.Close(), k.tracker.Close(), k.tables.Close(), k.binaries.Close(), k.core.Close()); err != nil {
			t.Error(err)
		}
	})
	return k
}

// A probe is a stack that the programs for tests sent, with what was missing of it.
type probe struct {
	Walked
	user    []uint64
	version uint64
}

// next waits for the next stack.
func (k *inKernel) next() (probe, bool) {
	k.Helper()
	var memory *Memory
	const patience = time.Second
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		k.events.SetDeadline(time.Now().Add(10 * time.Millisecond)) // few events wake the reader
		record, err := k.events.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			k.Fatal(err)
		}
		var e bpf.ProbeProbeStack
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e)), record.RawSample)
		switch e.Header.Kind {
		case uint32(bpf.CoreEventKindEVENT_STACK_MEMORY):
			if memory, err = Decode(record.RawSample); err != nil {
				k.Fatal(err)
			}
		case uint32(bpf.CoreEventKindEVENT_PROBE_STACK):
			if (memory != nil) != (e.Stack.Memory != 0) || memory != nil && memory.Time != e.Header.Time {
				k.Errorf("a stack that has memory: %v; memory came before it: %+v", e.Stack.Memory, memory)
			}
			return probe{Walked{
				Process: process.Identity{PID: e.Thread.Tgid, Start: e.Thread.ProcessStart, Generation: e.Thread.ExecGeneration},
				Time:    e.Header.Time, End: bpf.CoreUnwindEnd(e.Stack.Unwind), File: e.Stack.File, Memory: memory,
			}, slices.Clone(e.Stack.Frames[:e.Stack.UserFrames]), e.Stack.Version}, true
		}
	}
	return probe{}, false
}

// complete has stacks taken until one is complete, and gives what user space makes of
// those that are not, and that one.
func (k *inKernel) complete(take func(), find func(uint64) (process.Mapping, bool)) (inUser [][]uint64, whole probe) {
	k.Helper()
	for range 50 {
		take()
		p, ok := k.next()
		if !ok {
			k.Fatal("no stack came")
		}
		if p.End == bpf.CoreUnwindEndUNWIND_COMPLETE {
			return inUser, p
		}
		if p.Memory == nil {
			k.Fatalf("a walk ended with %d and sent no memory", p.End)
		}
		frames, end := k.tables.Walk(p.user, p.Memory, find)
		if end != bpf.CoreUnwindEndUNWIND_COMPLETE {
			k.Errorf("user space found %#x: ended with %d", frames, end)
		}
		inUser = append(inUser, frames)
		if k.tracker.Missing(p.Walked) || k.tracker.Waits() {
			k.tracker.Apply(k.tracker.Begin(), nil)
		}
		time.Sleep(20 * time.Millisecond)
	}
	k.Fatal("no stack became complete")
	return nil, probe{}
}

// probed is a target that calls the probed function when it is told to.
type probed struct {
	*exec.Cmd
	t       *testing.T
	orders  io.WriteCloser
	answers *bufio.Reader
	path    string
}

func startProbed(t *testing.T, program func() *os.File) *probed {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc: ", err)
	}
	p := &probed{t: t, path: filepath.Join(t.TempDir(), "entry")}
	if out, err := exec.Command(gcc, "-O2", "-g0", "-fomit-frame-pointer", "-o", p.path, "testdata/entry.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	p.Cmd = exec.Command(p.path)
	if program != nil {
		p.Cmd.Args = append(p.Cmd.Args, "probe")
		p.Cmd.ExtraFiles = []*os.File{program()}
	}
	p.Cmd.Stderr = os.Stderr
	if p.orders, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.answers = bufio.NewReader(out)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.orders.Close()
		p.Wait()
	})
	return p
}

func (p *probed) order(what string) {
	p.t.Helper()
	if _, err := io.WriteString(p.orders, what); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.answers.ReadString('\n'); err != nil {
		p.t.Fatal(err)
	}
}

// At a function's first instruction its caller is found, though the function has no
// frame yet; first by user space, which knows sooner, then by the kernel, alike.
func TestProbeAtEntry(t *testing.T) {
	target := startProbed(t, nil)
	target.order("x") // it has started when it answers
	k := loadForTest(t, 0, target.Cmd)
	executable, err := link.OpenExecutable(target.path)
	if err != nil {
		t.Fatal(err)
	}
	probe, err := executable.Uprobe("inner", k.programs["probe_entry"], &link.UprobeOptions{PID: target.Process.Pid})
	if err != nil {
		t.Skip("uprobes do not work here: ", err)
	}
	defer probe.Close()
	scanned, ok := process.ScanOne(uint32(target.Process.Pid), k.binaries)
	if !ok {
		t.Fatal("the target cannot be scanned")
	}
	find := func(a uint64) (process.Mapping, bool) { return process.Find(scanned.Mappings, a) }
	skip := false
	inUser, whole := k.complete(func() {
		if skip = !skip; skip { // two stacks for each order
			target.order("x")
		}
	}, find)
	if len(inUser) == 0 {
		t.Error("the first stack was complete, though nothing was known yet")
	}
	offset := func(pc uint64) uint64 {
		m, ok := find(pc)
		if !ok {
			t.Fatalf("%#x is in no mapping", pc)
		}
		return pc - m.Start + m.Offset
	}
	symbols := functionsOf(t, target.path)
	for _, frames := range append(inUser, whole.user) {
		if len(frames) < 4 || symbols.name(offset(frames[0])) != "inner" || symbols.name(offset(frames[1]-1)) != "outer" || symbols.name(offset(frames[2]-1)) != "main" {
			t.Errorf("frames %#x: not inner, outer, main", frames)
		}
		if !slices.Equal(frames[1:], whole.user[1:]) && !slices.Equal(frames[2:], whole.user[2:]) {
			t.Errorf("user space found %#x, the kernel %#x", frames, whole.user)
		}
	}
}

// A forked child is known to the kernel before anyone in user space has heard of it,
// with its own identity; after an exec, or its end, it is no more.
func TestForkSharesMappings(t *testing.T) {
	k0 := loadForTest(t, 0)
	target := startProbed(t, func() *os.File { return programFile(t, k0.programs["probe_request"]) })
	target.order("x")
	for {
		if _, ok := k0.next(); !ok {
			break
		}
	}
	// The tracker of this test knows the target from a scan, as one of a recording would.
	k := &inKernel{T: t, core: k0.core, programs: k0.programs, binaries: k0.binaries, events: k0.events, tables: k0.tables, tracker: k0.tracker}
	scanned, ok := process.ScanOne(uint32(target.Process.Pid), k.binaries)
	if !ok {
		t.Fatal("the target cannot be scanned")
	}
	k.scanned(scanned)
	forks, err := OpenForks(k.core)
	if err != nil {
		t.Skip("no hook on forks works here: ", err)
	}
	defer forks.Close()
	t.Log("forks by ", forks.Backend)

	find := func(a uint64) (process.Mapping, bool) { return process.Find(scanned.Mappings, a) }
	two := false
	_, whole := k.complete(func() {
		if two = !two; two {
			target.order("x")
		}
	}, find)
	for {
		if _, ok := k.next(); !ok { // what is left of the last order
			break
		}
	}
	target.order("f") // two stacks of the parent; then the child reads the next byte
	for range 2 {
		if p, ok := k.next(); !ok || p.End != bpf.CoreUnwindEndUNWIND_COMPLETE {
			t.Errorf("the parent's stack ended with %d", p.End)
		}
	}
	var child probe
	for tries := 0; child.Process.PID == 0; tries++ {
		if tries == 100 {
			t.Fatal("no stack of the child came")
		}
		if _, err := io.WriteString(target.orders, "x"); err != nil { // whichever of the two reads it
			t.Fatal(err)
		}
		for range 2 {
			p, ok := k.next()
			if !ok {
				t.Fatal("no stack came")
			}
			if p.Process.PID != uint32(target.Process.Pid) && child.Process.PID == 0 {
				child = p
			}
		}
	}
	if child.End != bpf.CoreUnwindEndUNWIND_COMPLETE || child.version != whole.version {
		t.Errorf("the child's first stack ended with %d, by mappings %#x; the parent's are %#x", child.End, child.version, whole.version)
	}
	counters, err := k.core.Counters()
	if err != nil || counters[bpf.CoreCounterCOUNTER_FORK_SHARED] == 0 {
		t.Errorf("no fork was counted: %v", err)
	}
	// Its end is learnt like that of any process.
	now := accounting.Monotonic()
	k.tracker.Apply(k.tracker.Begin(), []Event{
		{Event: lifecycle.Event{Time: child.Time, Kind: lifecycle.Fork, PID: child.Process.PID, Parent: uint32(target.Process.Pid)}},
		{Event: lifecycle.Event{Time: now, Kind: lifecycle.Exit, PID: child.Process.PID}},
	})
	var left bpf.CoreUnwindProcess
	for range 100 {
		if err = k.core.Processes().Lookup(child.Process.PID, &left); errors.Is(err, ebpf.ErrKeyNotExist) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the child that has ended is still known: %+v, %v", left, err)
}

// scanned tells the tracker of a process that runs, by the events of its start.
func (k *inKernel) scanned(s process.Scanned) {
	events := []Event{{Event: lifecycle.Event{Time: 1, Kind: lifecycle.Fork, PID: s.PID, Parent: 1}}}
	for _, m := range s.Mappings {
		events = append(events, Event{
			Event:  lifecycle.Event{Time: 2, Kind: lifecycle.Map, PID: s.PID, Mapping: lifecycle.Mapping{Start: m.Start, End: m.End, Offset: m.Offset}},
			Binary: m.Binary,
		})
	}
	k.tracker.Apply(k.tracker.Begin(), events)
}

func programFile(t *testing.T, p *ebpf.Program) *os.File {
	t.Helper()
	fd, err := unix.Dup(p.FD())
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "program")
	t.Cleanup(func() { file.Close() })
	return file
}
