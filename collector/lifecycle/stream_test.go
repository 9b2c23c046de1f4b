package lifecycle

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openForTest(t *testing.T) *Stream {
	t.Helper()
	cpus := make([]int, runtime.NumCPU())
	for i := range cpus {
		cpus[i] = i
	}
	s, err := Open(cpus)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skip("needs root: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A shell that forks a child which execs: the records must tell this story, in
// this order, with the truth about PIDs, parents and mapped files.
func TestForkExecMapExit(t *testing.T) {
	s := openForTest(t)
	sleep, err := filepath.EvalSymlinks("/bin/sleep") // the kernel names the file, not the link
	if err != nil {
		t.Skip("needs /bin/sleep: ", err)
	}
	cmd := exec.Command("sh", "-c", "/bin/sleep 0.01; exit 0")
	before := monotonic(t)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	after := monotonic(t)
	var events []Event
	if err := s.Read(0, func(e Event) { events = append(events, e) }); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(events, func(a, b Event) int { return int(int64(a.Time - b.Time)) })

	shell := uint32(cmd.Process.Pid)
	var story []string
	var child uint32
	for _, e := range events {
		if e.Time < before || e.Time > after {
			continue
		}
		switch {
		case e.Kind == Fork && e.PID == shell:
			if e.Parent != uint32(os.Getpid()) {
				t.Errorf("the shell's parent is %d, want %d", e.Parent, os.Getpid())
			}
			story = append(story, "fork shell")
		case e.Kind == Fork && e.Parent == shell:
			child = e.PID
			story = append(story, "fork child")
		case e.Kind == Exec && e.PID == shell:
			story = append(story, "exec "+e.Name)
		case e.Kind == Exec && e.PID == child && child != 0:
			story = append(story, "exec "+e.Name)
		case e.Kind == Map && e.PID == child && child != 0 && e.Mapping.Path == sleep:
			if e.Mapping.End <= e.Mapping.Start || e.Mapping.File == (FileIdentity{}) {
				t.Errorf("mapping of sleep: %+v", e.Mapping)
			}
			story = append(story, "map sleep")
		case e.Kind == Exit && e.PID == child && child != 0:
			story = append(story, "exit child")
		case e.Kind == Exit && e.PID == shell:
			story = append(story, "exit shell")
		}
	}
	want := []string{"fork shell", "exec sh", "fork child", "exec sleep", "map sleep", "exit child", "exit shell"}
	if !slices.Equal(story, want) {
		t.Errorf("story:\n %q, want\n %q", story, want)
	}
	if s.Lost() != 0 {
		t.Errorf("lost %d records", s.Lost())
	}
}

func TestReadReturnsWithoutEvents(t *testing.T) {
	s := openForTest(t)
	if err := s.Read(time.Millisecond, func(Event) {}); err != nil {
		t.Fatal(err)
	}
}

// Records from one ring around its end must come out as they went in.
func TestCopyFromRingWraps(t *testing.T) {
	data := []byte("0123456789abcdef")
	got := make([]byte, 6)
	copyFromRing(got, data, 32+13)
	if string(got) != "def012" {
		t.Errorf("got %q", got)
	}
}

func TestParseRefusesShortAndWrappingRecords(t *testing.T) {
	mmap := make([]byte, headerSize+mmap2RecordSize+sampleIDSize)
	binary.NativeEndian.PutUint32(mmap, unix.PERF_RECORD_MMAP2)
	binary.NativeEndian.PutUint64(mmap[headerSize+8:], ^uint64(0))
	binary.NativeEndian.PutUint64(mmap[headerSize+16:], 4096)
	if _, _, ok, err := parse(mmap); ok || err == nil {
		t.Error("a mapping that wraps around was accepted")
	}
	for n := range len(mmap) - 1 {
		if _, _, ok, err := parse(mmap[:n]); ok || err == nil {
			t.Errorf("a record cut to %d bytes was accepted", n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, kind := range []uint32{unix.PERF_RECORD_FORK, unix.PERF_RECORD_COMM, unix.PERF_RECORD_MMAP2, unix.PERF_RECORD_LOST} {
		record := make([]byte, 96)
		binary.NativeEndian.PutUint32(record, kind)
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		event, _, ok, err := parse(record)
		if ok && err != nil {
			t.Errorf("accepted with error %v", err)
		}
		if ok && event.Mapping.End < event.Mapping.Start {
			t.Errorf("mapping ends before it starts: %+v", event.Mapping)
		}
	})
}

func monotonic(t *testing.T) uint64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return uint64(ts.Nano())
}
