package fault

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/window"
)

// Event is page faults, or pages that were taken for them.
type Event struct {
	Thread process.Thread
	Time   uint64 // ns of CLOCK_MONOTONIC
	// Stack is where the thread was in user mode. It is zero if it was lost.
	Stack window.StackID
	// Faults and Bytes are how many the event stands for; one of them is 0.
	Faults, Bytes uint64
}

// Totals is all page faults of the machine and the bytes that were taken for them, and what
// of it was lost: had to be sent, with its stack, and could not be.
type Totals struct {
	Faults, Bytes         uint64
	LostFaults, LostBytes uint64
	// PieceFaults and PieceBytes are the most that one event stood for so far, if it was not a
	// page larger than that: what is told of one stack may be off by one piece on each CPU.
	PieceFaults, PieceBytes uint64
}

// Since is what came after an earlier reading.
func (t Totals) Since(before Totals) Totals {
	t.Faults -= before.Faults
	t.Bytes -= before.Bytes
	t.LostFaults -= before.LostFaults
	t.LostBytes -= before.LostBytes
	return t
}

// Add adds what came after.
func (t *Totals) Add(later Totals) {
	t.Faults += later.Faults
	t.Bytes += later.Bytes
	t.LostFaults += later.LostFaults
	t.LostBytes += later.LostBytes
	t.PieceFaults, t.PieceBytes = max(t.PieceFaults, later.PieceFaults), max(t.PieceBytes, later.PieceBytes)
}

// ErrMalformed says that a record is not what the programs write.
var ErrMalformed = errors.New("malformed page fault")

const eventSize = unsafe.Sizeof(bpf.FaultFaultEvent{})

// Decode reads an EVENT_FAULT of the ring buffer. It does not keep the record.
func Decode(record []byte) (Event, error) {
	if uintptr(len(record)) < eventSize {
		return Event{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	var raw bpf.FaultFaultEvent
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), eventSize), record)
	if raw.Faults == 0 && raw.Bytes == 0 || raw.Faults > math.MaxInt64 || raw.Bytes > math.MaxInt64 {
		return Event{}, fmt.Errorf("%w: of %d faults and %d bytes", ErrMalformed, raw.Faults, raw.Bytes)
	}
	return Event{
		Thread: process.DecodeThread(record[unsafe.Offsetof(raw.Thread):]), Time: raw.Header.Time,
		Stack: window.StackID{raw.Stack.Low, raw.Stack.High}, Faults: raw.Faults, Bytes: raw.Bytes,
	}, nil
}
