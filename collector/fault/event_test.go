package fault

import (
	"errors"
	"math"
	"testing"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/window"
)

// record is an EVENT_FAULT as the programs write it.
func record(faults, bytes uint64) []byte {
	raw := bpf.FaultFaultEvent{Faults: faults, Bytes: bytes}
	raw.Header.Time, raw.Thread.Tgid, raw.Thread.Tid = 180, 1000, 1001
	raw.Stack.Low, raw.Stack.High = 1, 2
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))...)
}

func TestDecode(t *testing.T) {
	e, err := Decode(record(0, 8192))
	if err != nil || e.Faults != 0 || e.Bytes != 8192 || e.Time != 180 || e.Thread.PID != 1000 || e.Thread.TID != 1001 || e.Stack != (window.StackID{1, 2}) {
		t.Errorf("%+v, %v", e, err)
	}
	for name, malformed := range map[string][]byte{
		"short": record(1, 0)[:eventSize-1], "empty": nil, "of nothing": record(0, 0), "of too many bytes": record(0, math.MaxInt64+1), "of too many faults": record(1<<63, 0),
	} {
		if _, err := Decode(malformed); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record(1, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := Decode(data); err == nil && int64(e.Faults) <= 0 && int64(e.Bytes) <= 0 {
			t.Errorf("%+v", e)
		}
	})
}

func TestTotals(t *testing.T) {
	before := Totals{Faults: 1, Bytes: 2, LostFaults: 3, LostBytes: 4, PieceFaults: 1, PieceBytes: 4096}
	after := Totals{Faults: 11, Bytes: 22, LostFaults: 33, LostBytes: 44, PieceFaults: 2, PieceBytes: 8192}
	since := after.Since(before)
	if since != (Totals{10, 20, 30, 40, 2, 8192}) {
		t.Errorf("%+v", since)
	}
	if before.Add(since); before != after {
		t.Errorf("%+v", before)
	}
}
