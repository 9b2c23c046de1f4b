package window

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/process"
)

func types() (Period, []*profile.ValueType) {
	cpu := &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	return Period{Type: cpu, Value: 10}, []*profile.ValueType{{Type: "samples", Unit: "count"}, cpu}
}

// self is this test's own executable, as a process that maps it would name it.
func self(t *testing.T) *process.Binary {
	t.Helper()
	binaries := process.NewBinaries()
	t.Cleanup(func() {
		if err := binaries.Close(); err != nil {
			t.Error(err)
		}
	})
	scanned, ok := process.ScanOne(uint32(os.Getpid()), binaries)
	if !ok {
		t.Skip("/proc does not show this process's mappings")
	}
	for _, m := range scanned.Mappings {
		if _, err := m.Binary.File(); err == nil && m.Binary.Path[0] == '/' {
			return m.Binary
		}
	}
	t.Fatal("this process maps no file")
	return nil
}

func TestProfile(t *testing.T) {
	b := self(t)
	file, err := b.File()
	if err != nil {
		t.Fatal(err)
	}
	period, values := types()
	w := NewBuilder(period, values...)
	labels := Labels{Service: "ryot", Process: "p", PID: 7, TID: 8}
	offset := uint64(0x1000)
	for _, ok := file.Segment(offset); !ok; _, ok = file.Segment(offset) {
		offset += 0x1000
	}
	native := []Frame{{Address: 0xffffffff81000000}, {Binary: b, Address: offset}}
	for range 3 {
		w.Add(labels, native, 1, 10)
	}
	w.Add(labels, native[1:], 1, 10)
	w.Add(Labels{Process: "p", PID: 7, TID: 9}, native, 1, 10)
	w.AddLost("missed ticks", 5, 50)
	start := time.Unix(1_700_000_000, 0)
	p := w.Profile(start, time.Second)

	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	var buffer bytes.Buffer
	if err := p.Write(&buffer); err != nil {
		t.Fatal(err)
	}
	if p, err = profile.Parse(io.Reader(&buffer)); err != nil {
		t.Fatal(err)
	}
	if len(p.Sample) != 4 {
		t.Fatalf("%d samples, want 3 stacks and labels, and the lost one", len(p.Sample))
	}
	if got := p.Sample[0].Value; got[0] != 3 || got[1] != 30 {
		t.Errorf("three equal samples add up to %v", got)
	}
	if !p.Sample[0].HasLabel("service", "ryot") || p.Sample[0].NumLabel["tid"][0] != 8 {
		t.Errorf("labels %v %v", p.Sample[0].Label, p.Sample[0].NumLabel)
	}
	if len(p.Sample[2].Label["service"]) != 0 {
		t.Error("an empty label was written")
	}
	location := p.Sample[0].Location[1]
	segment, _ := file.Segment(offset)
	if location.Address != segment.Address(offset) || location.Mapping.BuildID != file.BuildID() || location.Mapping.File != b.Path {
		t.Errorf("location %+v in %+v", location, location.Mapping)
	}
	if inFile := location.Address - location.Mapping.Start + location.Mapping.Offset; inFile != offset {
		t.Errorf("a reader computes offset %#x in the file, want %#x", inFile, offset)
	}
	lost := p.Sample[3]
	if name := lost.Location[0].Line[0].Function.Name; name != "[lost: missed ticks]" || lost.Value[1] != 50 {
		t.Errorf("lost sample %q %v", name, lost.Value)
	}
	if p.TimeNanos != start.UnixNano() || p.DurationNanos != int64(time.Second) || p.Period != 10 {
		t.Errorf("time %d, duration %d, period %d", p.TimeNanos, p.DurationNanos, p.Period)
	}
}

// A file that cannot be opened keeps its offsets, its path and its build ID, so that
// a host that has the file can still name its frames.
func TestProfileOfUnreadableFile(t *testing.T) {
	binaries := process.NewBinaries()
	defer binaries.Close()
	b := binaries.Get(uint32(os.Getpid()), lifecycle.Mapping{
		Start: 0x1000, End: 0x2000, Path: "/nowhere/program", File: lifecycle.FileIdentity{BuildID: "abcd"},
	})
	period, values := types()
	w := NewBuilder(period, values...)
	w.Add(Labels{PID: 1}, []Frame{{Binary: b, Address: 0x1234}}, 1, 10)
	p := w.Profile(time.Unix(0, 0), time.Second)
	m := p.Location[0].Mapping
	if m.File != "/nowhere/program" || m.BuildID != "abcd" || p.Location[0].Address-m.Start+m.Offset != 0x1234 {
		t.Errorf("location %#x in %+v", p.Location[0].Address, m)
	}
}

// Scaling keeps sums, and makes no sample negative.
func TestScale(t *testing.T) {
	period, values := types()
	w := NewBuilder(period, values...)
	for i := range 100 {
		w.Add(Labels{PID: uint32(i + 1)}, []Frame{{Address: 1 << 63}}, int64(i%2), 10)
	}
	w.Scale(func(Labels) []float64 { return []float64{0.5, 1.25} })
	var sums [2]int64
	for _, s := range w.Profile(time.Unix(0, 0), time.Second).Sample {
		for i, v := range s.Value {
			if v < 0 {
				t.Fatalf("a sample has values %v", s.Value)
			}
			sums[i] += v
		}
	}
	if sums != [2]int64{25, 1250} {
		t.Errorf("sums %v, want 25 and 1250", sums)
	}
}
