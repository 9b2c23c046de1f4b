package golock

import (
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/window"
)

// memory is a process's, from an address on.
type memory struct {
	base  uint64
	bytes []byte
}

func (m memory) ReadAt(p []byte, at int64) (int, error) {
	if uint64(at) < m.base || uint64(at)-m.base >= uint64(len(m.bytes)) {
		return 0, io.EOF
	}
	n := copy(p, m.bytes[uint64(at)-m.base:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// table is an array of Go strings in memory, and what lies behind it.
func table(names ...string) memory {
	m := memory{base: 0x500000}
	text := uint64(16*len(names)) + 64
	for _, name := range names {
		m.bytes = binary.NativeEndian.AppendUint64(m.bytes, m.base+text)
		m.bytes = binary.NativeEndian.AppendUint64(m.bytes, uint64(len(name)))
		text += uint64(len(name))
	}
	m.bytes = append(m.bytes, slices.Repeat([]byte{0xff}, 64)...)
	return memory{m.base, append(m.bytes, strings.Join(names, "")...)}
}

func TestReadReasons(t *testing.T) {
	names := []string{"", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)", "dumping heap", "garbage collection",
		"garbage collection scan", "panicwait", "select", "select (no cases)", "chan receive", "chan send", "semacquire", "sleep", "sync.Cond.Wait", "sync.Mutex.Lock"}
	m := table(names...)
	got, err := readReasons(m, []uint64{0x1234, m.base + 3, m.base})
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("read %q: %v", got, err)
	}
	for name, wrong := range map[string]memory{
		"nothing":                   {},
		"too few":                   table(names[:10]...),
		"others":                    table(strings.Split(strings.Repeat("something ", 20), " ")...),
		"not printable":             table(append([]string{"\x01"}, names...)...),
		"zeros, before relocation":  {m.base, make([]byte, 4096)},
		"addresses out of the user": {m.base, slices.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 8, 0, 0, 0, 0, 0, 0, 0}, 80)},
	} {
		if got, err := readReasons(wrong, []uint64{m.base}); !errors.Is(err, errNoReasons) {
			t.Errorf("%s: read %q, %v", name, got, err)
		}
	}
}

// TestAddresses decodes what waitReason.String of Go 1.26 is.
func TestAddresses(t *testing.T) {
	x86 := []byte{
		0x3c, 0x2f, 0x72, 0x0d, 0x48, 0x8d, 0x05, 0xa3, 0xd9, 0x03, 0x00, 0xbb, 0x13, 0, 0, 0, 0xc3,
		0x0f, 0xb6, 0xc8, 0x48, 0xc1, 0xe1, 0x04, 0x48, 0x8d, 0x15, 0x61, 0x11, 0x0d, 0x00, 0x48, 0x8b, 0x04, 0x0a,
	}
	if got := addresses("amd64", x86, 0x455f60); !slices.Contains(got, 0x455f7f+0xd1161) {
		t.Errorf("amd64: %#x", got)
	}
	var arm64 []byte
	for _, word := range []uint32{0xd3401c02, 0x7100bc5f, 0x540000a3, 0xb0000220, 0x9120ec00, 0xd2800261, 0xd65f03c0, 0xd3401c02, 0xf0000683, 0x91018063, 0x8b021062, 0xa9400440} {
		arm64 = binary.LittleEndian.AppendUint32(arm64, word)
	}
	// adrp of 0xd3 pages behind 0x62000, add of 0x60, as objdump says.
	if got := addresses("arm64", arm64, 0x62200); !slices.Contains(got, 0x62000+864256+0x60) {
		t.Errorf("arm64: %#x", got)
	}
}

func TestDecode(t *testing.T) {
	raw := bpf.GoLockGoWaitEvent{Since: 10, Goroutine: 0xc000001000, Lock: 0xc000002000, Weight: 3 * weightOne, Reason: 22, Tid: 7, Target: 1}
	raw.Header.Time, raw.Header.Kind = 25, uint32(bpf.CoreEventKindEVENT_GO_WAIT)
	raw.Thread.Tgid, raw.Thread.Tid = 5, 6
	raw.Stack.Low, raw.Stack.High, raw.ReleaseStack.Low, raw.ReleaseStack.High = 1, 2, 3, 4
	record := unsafe.Slice((*byte)(unsafe.Pointer(&raw)), eventSize)
	e, err := Decode(record)
	if err != nil {
		t.Fatal(err)
	}
	want := Event{
		Releaser: e.Releaser, ReleaseStack: window.StackID{3, 4}, WaiterTID: 7, Stack: window.StackID{1, 2}, Goroutine: 0xc000001000,
		Lock: 0xc000002000, Since: 10, Time: 25, Weight: 3, Reason: 22, Target: 1,
	}
	if e != want || e.Releaser.PID != 5 || e.Releaser.TID != 6 || e.Length() != 15 || !IsEvent(record) {
		t.Errorf("decoded %+v, want %+v", e, want)
	}
	raw.Since = 26
	for _, wrong := range [][]byte{nil, record[:eventSize-1], record} {
		if _, err := Decode(wrong); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", len(wrong), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, eventSize))
	f.Fuzz(func(t *testing.T, record []byte) {
		if e, err := Decode(record); err == nil && e.Since > e.Time {
			t.Errorf("a wait from %d to %d", e.Since, e.Time)
		}
		if got := readStrings(memory{0, record}, 0); len(got) > maxReasons {
			t.Errorf("%d reasons", len(got))
		}
		addresses("amd64", record, 0)
		addresses("arm64", record, 0)
	})
}

func TestFamily(t *testing.T) {
	f := NewFamily([]process.Scanned{{PID: 1}, {PID: 2, Parent: 1}, {PID: 3, Parent: 2}, {PID: 4, Parent: 1}, {PID: 8, Parent: 9}, {PID: 9, Parent: 8}})
	if added := f.Add(2); !slices.Equal(added, []uint32{2, 3}) {
		t.Errorf("added %v, want 2 and 3", added)
	}
	f.Forked(5, 3)
	f.Forked(6, 4)
	if !f.Has(5) || f.Has(6) || f.Has(1) {
		t.Error("children follow the wrong parents")
	}
	f.Exited(3)
	f.Forked(7, 5)
	if f.Has(3) || !f.Has(7) {
		t.Error("a grandchild is lost with its parent")
	}
	if added := f.Add(8); len(added) != 2 {
		t.Errorf("of two that are each other's parents %v were added", added)
	}
	if added := f.Add(1); slices.Contains(added, 2) || !slices.Contains(added, 6) {
		t.Errorf("added %v", added)
	}
}

// TestMachinery: what Go's own profiles begin with stays.
func TestMachinery(t *testing.T) {
	for name, want := range map[string]bool{
		"runtime.gopark": true, "runtime.semacquire1": true, "sync.runtime_SemacquireMutex": true, "internal/sync.runtime_Semrelease": true,
		"runtime.systemstack.abi0": true, "runtime.readyWithTime.goready.func1": true, "sync.(*Mutex).lockSlow": true,
		"sync.(*Mutex).Lock": false, "runtime.chanrecv1": false, "runtime.selectgo": false, "main.main": false, "runtime.closechan": false,
	} {
		if isMachinery(name) != want {
			t.Errorf("%s: %v, want %v", name, !want, want)
		}
	}
	if kept[runtime.GOARCH] == nil {
		t.Errorf("nothing is known of %s", runtime.GOARCH)
	}
}
