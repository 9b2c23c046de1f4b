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
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/process"
)

// goProgram is a running testdata/goheap.
type goProgram struct {
	cmd    *exec.Cmd
	folder string
	input  io.WriteCloser
	output *bufio.Scanner
	rounds int
}

func start(t *testing.T, path string, environment ...string) *goProgram {
	t.Helper()
	p := &goProgram{folder: t.TempDir()}
	p.cmd = exec.Command(path, p.folder)
	p.cmd.Stderr = os.Stderr
	p.cmd.Env = append(os.Environ(), environment...)
	var err error
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.output = bufio.NewScanner(output)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(p.input.Close(), p.cmd.Wait()); err != nil {
			t.Errorf("the program did not survive: %v", err)
		}
	})
	return p
}

// quiet waits until a round is through, and reads the profile that the program wrote.
func (p *goProgram) quiet(t *testing.T) *profile.Profile {
	t.Helper()
	if !p.output.Scan() || p.output.Text() != "quiet" {
		t.Fatalf("the program says %q", p.output.Text())
	}
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

// again begins another round.
func (p *goProgram) again(t *testing.T) {
	t.Helper()
	if _, err := fmt.Fprintln(p.input); err != nil {
		t.Fatal(err)
	}
}

func (p *goProgram) open(t *testing.T) *Heap {
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

// ours are the records of a snapshot.
func ours(t *testing.T, h *Heap, s Snapshot) []string {
	t.Helper()
	samples, err := h.Samples(s)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, sample := range samples {
		all = append(all, line(sample.Values[:], sample.addresses(h)))
	}
	return all
}

// theirs are those of a program's own profile, without what writing it allocated later.
func theirs(p *profile.Profile) []string {
	var all []string
	for _, s := range p.Sample {
		var stack []uint64
		for _, l := range s.Location {
			stack = append(stack, l.Address)
		}
		all = append(all, line(s.Value, stack))
	}
	return all
}

// compare reports records that only one has.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return
	}
	count := map[string]int{}
	for _, l := range got {
		count[l]++
	}
	for _, l := range want {
		count[l]--
	}
	shown := 0
	for l, n := range count {
		if n != 0 && shown < 20 {
			shown++
			t.Errorf("%+d: %s", n, l)
		}
	}
	t.Errorf("%d records, want %d", len(got), len(want))
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

func testHeap(t *testing.T, path, setting string) {
	p := start(t, path, setting)
	first := p.quiet(t)
	h := p.open(t)
	s := h.snapshot(t)
	if s.Rate != first.Period {
		t.Errorf("a rate of %d, want %d", s.Rate, first.Period)
	}
	t.Logf("%d records", len(s.Records))
	compare(t, ours(t, h, s), theirs(first))
	p.again(t)
	second := p.quiet(t)
	later := h.snapshot(t)
	compare(t, ours(t, h, later), theirs(second))
}
