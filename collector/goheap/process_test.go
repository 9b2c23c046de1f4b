package goheap

import (
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/collector/process"
)

// sums adds up what was sampled of objects of a size in whose stacks a function is.
func (h *Heap) sums(t *testing.T, s Snapshot, function string, size int64) Counts {
	t.Helper()
	var sum Counts
	for _, r := range s.Records {
		if r.Size != size {
			continue // a slice that grows, a slice's header in an interface
		}
		calls := make([]uint64, len(r.Stack))
		for i, pc := range r.Stack {
			calls[i] = pc - 1
		}
		if h.has(t, calls, function) {
			sum = sum.plus(r.Counts)
		}
	}
	return sum
}

// TestKnownAmounts: at a rate of 1 all is sampled, so that known functions have allocated
// known amounts; and between two snapshots, those of one round. The amounts are those of
// testdata/goheap.
func TestKnownAmounts(t *testing.T) {
	p := start(t, buildGo(t, "goheap", "local", nil, "-ldflags=-s -w"), "RATE=1")
	p.says(t, "allocated")
	h := p.open(t)
	first := h.snapshot(t)
	p.written(t)
	p.tell(t)
	p.says(t, "allocated")
	second := h.snapshot(t)
	round, err := second.Sub(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		function    string
		count, size int64
		leaks       bool
	}{
		{"main.leak", 200 + 4*101, 64 << 10, true},
		{"main.leakInlined", 200, 32 << 10, true},
		{"main.inlined", 200, 32 << 10, true},
		{"main.churn", 20000 + 4*101, 1 << 10, false},
		{"main.deep", 500, 4096, true},
	} {
		for name, of := range map[string]struct {
			snapshot Snapshot
			rounds   int64
		}{"first": {first, 1}, "second": {second, 2}, "difference": {round, 1}} {
			got := h.sums(t, of.snapshot, want.function, want.size)
			count := want.count * of.rounds
			live := int64(0)
			if want.leaks {
				live = count
			}
			// The last that was not leaked is referred to still, or its place on a stack.
			if got.AllocObjects != count || got.AllocBytes != count*want.size || got.InUseObjects()-live < 0 || got.InUseObjects()-live > 1 || got.InUseBytes() != got.InUseObjects()*want.size {
				t.Errorf("%s, %s: %+v; want %d allocations of %d bytes, leaked: %v", name, want.function, got, count, want.size, want.leaks)
			}
		}
	}
	profile, err := h.Profile(second, time.Now(), 0)
	if err != nil || profile.CheckValid() != nil || profile.Period != 1 || profile.PeriodType.Type != "space" {
		t.Fatalf("the profile is not valid: %v", err)
	}
	for _, s := range profile.Sample {
		if s.NumLabel["bytes"][0] == 4096 && s.Value[1] != s.Value[0]*4096 {
			t.Errorf("%v", s)
		}
	}
}

// TestDeepStacks: those longer than what a version records are marked.
func TestDeepStacks(t *testing.T) {
	for version, marked := range map[string]bool{"local": false, "go1.20.14": true} {
		p := start(t, buildGo(t, "goheap", version, nil), "RATE=1")
		p.says(t, "allocated")
		h := p.open(t)
		samples, err := h.Samples(h.snapshot(t))
		if err != nil {
			t.Fatal(err)
		}
		deep := 0
		for _, s := range samples {
			if s.Size == 4096 && h.has(t, s.addresses(h), "main.deep") {
				deep++
				if (s.Unwind == tooDeep) != marked {
					t.Errorf("%s: a stack of %d frames is marked %q", version, len(s.Stack), s.Unwind)
				}
			}
		}
		if deep != 1 {
			t.Errorf("%s: %d records of main.deep, want 1", version, deep)
		}
	}
}

// TestBusy reads a program that allocates and collects garbage all the time: no count
// becomes less, with what is pending, and what is published is never impossible.
func TestBusy(t *testing.T) {
	for _, rate := range []string{"RATE=1", "RATE=4096"} {
		p := start(t, buildGo(t, "goheap", "local", nil, "-ldflags=-s -w"), rate, "BUSY=1")
		p.says(t, "busy")
		h := p.open(t)
		before := map[uint64]Counts{}
		mixed, skipped, records := 0, 0, 0
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
			s, err := h.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if s.Mixed {
				mixed++
				continue // in which a record may be of a later moment than in the next
			}
			skipped += s.Skipped
			records += len(s.Records)
			for _, r := range s.Records {
				was, all := before[r.bucket], r.Counts.plus(r.Pending)
				if all.AllocObjects < was.AllocObjects || all.FreeObjects < was.FreeObjects || r.InUseObjects() < 0 || r.InUseBytes() < 0 ||
					r.AllocBytes != r.AllocObjects*r.Size || r.FreeBytes != r.FreeObjects*r.Size {
					t.Fatalf("%+v after %+v", r, was)
				}
				before[r.bucket] = all
			}
		}
		t.Logf("%s: %d records, %d skipped, %d readings mixed", rate, records, skipped, mixed)
		if records == 0 {
			t.Error("nothing was read")
		}
		p.tell(t)
	}
}

// BenchmarkRead reads a profile of 16,000 stacks.
func BenchmarkRead(b *testing.B) {
	p := start(b, buildGo(b, "goheap", "local", nil), "RATE=1", "BITS=14")
	p.says(b, "allocated")
	h := p.open(b)
	var s Snapshot
	for b.Loop() {
		var err error
		if s, err = h.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(s.Records)), "records")
	b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(s.Records)), "ns/record")
}

func TestRefusals(t *testing.T) {
	p := start(t, buildGo(t, "goheap", "local", nil), "RATE=0")
	p.says(t, "allocated")
	if s, err := p.open(t).Read(t.Context()); !errors.Is(err, ErrOff) {
		t.Errorf("a rate of 0: %+v, %v", s, err)
	}
	for name, program := range map[string]struct {
		path string
		want error
	}{
		"not profiled":           {buildGo(t, "unprofiled", "local", nil), ErrNotProfiled},
		"not profiled, stripped": {buildGo(t, "unprofiled", "go1.20.14", nil, "-ldflags=-s -w"), ErrNotProfiled},
		"not Go":                 {"cat", ErrNotGo},
	} {
		cmd := exec.Command(program.path)
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		binaries := process.NewBinaries()
		scanned, ok := process.ScanOne(uint32(cmd.Process.Pid), binaries)
		if _, err := Open(scanned.PID, scanned.Mappings); !ok || !errors.Is(err, program.want) {
			t.Errorf("%s: %v, want %v", name, err, program.want)
		}
		if err := errors.Join(binaries.Close(), input.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	}
}

// TestGone reads programs that have ended, or become others.
func TestGone(t *testing.T) {
	path := buildGo(t, "goheap", "local", nil)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, path, "EXEC="+shell, "RATE=1")
	p.says(t, "ready")
	h := p.open(t)
	if _, err := h.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.tell(t)
	p.says(t, "replaced")
	if s, err := h.Read(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("another program: %+v, %v", s, err)
	}
	p.tell(t)

	cmd := exec.Command(path, t.TempDir())
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := &goProgram{cmd: cmd}
	h = killed.open(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it was killed
	if s, err := h.Read(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("a program that was killed: %+v, %v", s, err)
	}
	if _, err := Open(h.PID(), h.mappings); !errors.Is(err, ErrGone) {
		t.Errorf("opening it: %v", err)
	}
}

// TestTogether groups the addresses that a call of inlined functions has.
func TestTogether(t *testing.T) {
	in := func(name string, entry uint64) place { return place{name: name, entry: entry, inlined: true} }
	out := func(name string, entry uint64) place { return place{name: name, entry: entry} }
	for _, test := range []struct {
		places []place
		want   int
	}{
		{[]place{in("f", 1), in("g", 1), out("h", 1), out("main", 9)}, 3},
		{[]place{out("h", 1), out("h", 1)}, 1},             // a recursion
		{[]place{in("f", 1), in("f", 1), out("h", 1)}, 1},  // f inlined in the h that the second h calls
		{[]place{in("f", 1), out("h", 2)}, 1},              // what f was inlined into is a wrapper, left out
		{[]place{in("f", 1)}, 1},                           // cut
		{[]place{{inlined: true}, {name: "main"}}, 1},      // C
		{[]place{in("f", 1), out("h", 1), out("h", 1)}, 2}, // and a recursion
	} {
		if got := together(test.places); got != test.want {
			t.Errorf("%+v: %d, want %d", test.places, got, test.want)
		}
	}
	if at := firstShown([]place{{runtimes: true}, {name: "main"}, {runtimes: true}}); at != 1 {
		t.Errorf("a stack begins at %d", at)
	}
	if at := firstShown([]place{{runtimes: true}, {runtimes: true}}); at != 0 {
		t.Errorf("one of the runtime alone begins at %d", at)
	}
}
