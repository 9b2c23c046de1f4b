package goheap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// goProgram is a running testdata/goheap.
type goProgram struct {
	cmd    *exec.Cmd
	folder string
	input  io.WriteCloser
	output *bufio.Scanner
	rounds int
}

func start(t testing.TB, path string, environment ...string) *goProgram {
	t.Helper()
	p, err := launch(path, t.TempDir(), environment...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(p.input.Close(), p.cmd.Wait()); err != nil {
			t.Errorf("the program did not survive: %v", err)
		}
	})
	return p
}

// launch starts a program, and leaves its end to the caller.
func launch(path, folder string, environment ...string) (*goProgram, error) {
	p := &goProgram{folder: folder, cmd: exec.Command(path, folder)}
	p.cmd.Stderr, p.cmd.Env = os.Stderr, append(os.Environ(), environment...)
	var err error
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.output = bufio.NewScanner(output)
	return p, p.cmd.Start()
}

// says waits for a line.
func (p *goProgram) says(t testing.TB, want string) {
	t.Helper()
	if !p.output.Scan() || p.output.Text() != want {
		t.Fatalf("the program says %q, want %q", p.output.Text(), want)
	}
}

// tell sends a line.
func (p *goProgram) tell(t *testing.T) {
	t.Helper()
	if _, err := fmt.Fprintln(p.input); err != nil {
		t.Fatal(err)
	}
}

// written has the program write its own profile, and reads that.
func (p *goProgram) written(t *testing.T) *profile.Profile {
	t.Helper()
	p.tell(t)
	p.says(t, "written")
	p.rounds++
	f, err := os.Open(filepath.Join(p.folder, fmt.Sprintf("heap%d.pb.gz", p.rounds)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parsed, err := profile.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func (p *goProgram) open(t testing.TB) *Heap {
	t.Helper()
	binaries := process.NewBinaries()
	t.Cleanup(func() { binaries.Close() })
	scanned, ok := process.ScanOne(uint32(p.cmd.Process.Pid), binaries)
	if !ok {
		t.Fatal("the program cannot be read")
	}
	h, err := Open(scanned.PID, scanned.Mappings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func (h *Heap) snapshot(t *testing.T) Snapshot {
	t.Helper()
	s, err := h.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Skipped != 0 || s.Mixed {
		t.Errorf("%d records of a quiet program were skipped, mixed: %v", s.Skipped, s.Mixed)
	}
	return s
}

// addresses are a stack's, in the process.
func (s Sample) addresses(h *Heap) []uint64 {
	var all []uint64
	for _, f := range s.Stack {
		for _, m := range h.mappings {
			if m.Binary == f.Binary && f.Address >= m.Offset && f.Address-m.Offset < m.End-m.Start {
				all = append(all, f.Address-m.Offset+m.Start)
			}
		}
	}
	return all
}

// line is a record as text: its values and its stack.
func line(values []int64, stack []uint64) string { return fmt.Sprintf("%d @ %#x", values, stack) }

// nothing is what lines begin with of which nothing is published.
const nothing = "[0 0 0 0]"

// ours are the records of a snapshot in whose stacks a function is, "" for any.
func ours(t *testing.T, h *Heap, s Snapshot, function string) []string {
	t.Helper()
	samples, err := h.Samples(s)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, sample := range samples {
		if addresses := sample.addresses(h); h.has(t, addresses, function) {
			all = append(all, line(sample.Values[:], addresses))
		}
	}
	return all
}

// theirs are those of a program's own profile.
func theirs(t *testing.T, h *Heap, p *profile.Profile, function string) []string {
	t.Helper()
	var all []string
	for _, s := range p.Sample {
		var stack []uint64
		for _, l := range s.Location {
			stack = append(stack, l.Address)
		}
		if h.has(t, stack, function) {
			all = append(all, line(s.Value, stack))
		}
	}
	return all
}

// has tells whether a function is in a stack, inlined ones included.
func (h *Heap) has(t *testing.T, stack []uint64, function string) bool {
	t.Helper()
	for _, address := range stack {
		frames, err := h.table.Frames(address - h.bias)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(frames, func(f binary.GoFrame) bool { return f.Function == function }) {
			return true
		}
	}
	return function == ""
}

// compare reports records that only one has. What a program allocates to write its profile
// makes records of which nothing is published, after ours or after theirs were counted.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	count := map[string]int{}
	for _, l := range got {
		count[l]++
	}
	for _, l := range want {
		count[l]--
	}
	compared := 0
	for l, n := range count {
		if n != 0 && !strings.HasPrefix(l, nothing) {
			t.Errorf("%+d: %s", n, l)
		}
		if !strings.HasPrefix(l, nothing) {
			compared++
		}
	}
	t.Logf("%d records, %d distinct ones with numbers", len(got), compared)
	if compared == 0 {
		t.Errorf("nothing to compare: %d records, %d of the program's own", len(got), len(want))
	}
}

// TestHeap compares with what Go programs of several versions, stripped and
// position-independent ones too, say of themselves: record by record, to the byte.
func TestHeap(t *testing.T) {
	builds := []struct {
		name, toolchain string
		environment     []string
		flags           []string
	}{
		{"newest", "local", nil, nil},
		{"stripped", "local", nil, []string{"-ldflags=-s -w"}},
		{"position-independent, stripped", "local", nil, []string{"-buildmode=pie", "-ldflags=-s -w"}},
		{"oldest, stripped", "go1.20.14", nil, []string{"-ldflags=-s -w"}},
	}
	if full() {
		for _, version := range versions[1:] {
			builds = append(builds, struct {
				name, toolchain string
				environment     []string
				flags           []string
			}{version + ", stripped PIE", version, nil, []string{"-buildmode=pie", "-ldflags=-s -w"}})
		}
		if _, err := exec.LookPath("gcc"); err == nil {
			builds = append(builds, struct {
				name, toolchain string
				environment     []string
				flags           []string
			}{"external PIE, stripped", "local", []string{"CGO_ENABLED=1"}, []string{"-buildmode=pie", "-ldflags=-linkmode=external -s -w"}})
		}
	}
	for _, build := range builds {
		t.Run(build.name, func(t *testing.T) {
			path := buildGo(t, "goheap", build.toolchain, build.environment, build.flags...)
			for _, setting := range []string{"RATE=", "RATE=1", "RATE=4096", "COLLECT=no"} {
				t.Run(setting, func(t *testing.T) { testHeap(t, path, setting) })
			}
		})
	}
}

// testHeap reads before a program writes its profile, and after that.
func testHeap(t *testing.T, path, setting string) {
	p := start(t, path, setting)
	var h *Heap
	for range 2 {
		p.says(t, "allocated")
		if h == nil {
			h = p.open(t)
		}
		before := h.snapshot(t)
		truth := p.written(t)
		after := h.snapshot(t)
		if before.Rate != truth.Period || after.Rate != truth.Period {
			t.Errorf("rates of %d and %d, want %d", before.Rate, after.Rate, truth.Period)
		}
		compare(t, ours(t, h, after, ""), theirs(t, h, truth, ""))
		// Without any garbage collection the program publishes all, with what it has
		// allocated to write.
		function := ""
		if setting == "COLLECT=no" {
			function = "main.allocate"
		}
		if setting != "COLLECT=no" || p.rounds == 1 {
			compare(t, ours(t, h, before, function), theirs(t, h, truth, function))
		}
		p.tell(t)
	}
}
