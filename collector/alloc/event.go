package alloc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/window"
)

// Event is an allocation that was taken.
type Event struct {
	Thread process.Thread
	// Stack begins with who called the allocator.
	Stack   window.StackID
	Time    uint64 // ns of CLOCK_MONOTONIC
	Address uint64
	Size    uint64 // as it was asked for
	Target  uint32 // the number of the process's probes
}

// ErrMalformed says that a record is not what the program writes.
var ErrMalformed = errors.New("malformed allocation")

const eventSize = unsafe.Sizeof(bpf.AllocAllocEvent{})

// Decode reads an EVENT_ALLOC of the ring buffer. It does not keep the record.
func Decode(record []byte) (Event, error) {
	if uintptr(len(record)) < eventSize {
		return Event{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	var raw bpf.AllocAllocEvent
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), eventSize), record)
	if raw.Size > math.MaxInt64 {
		return Event{}, fmt.Errorf("%w: of %d bytes", ErrMalformed, raw.Size)
	}
	return Event{
		Thread: process.DecodeThread(record[unsafe.Offsetof(raw.Thread):]),
		Stack:  window.StackID{raw.Stack.Low, raw.Stack.High},
		Time:   raw.Header.Time, Address: raw.Address, Size: raw.Size, Target: raw.Target,
	}, nil
}

// IsEvent tells whether a record of the ring buffer is of an allocation.
func IsEvent(record []byte) bool {
	kind := unsafe.Offsetof(bpf.AllocAllocEvent{}.Header.Kind)
	return uintptr(len(record)) >= kind+4 && bpf.CoreEventKind(binary.NativeEndian.Uint32(record[kind:])) == bpf.CoreEventKindEVENT_ALLOC
}

// Weight is how many allocations one of a size stands for that was taken, where a mean of so
// many bytes lies between two points.
func Weight(size, mean uint64) float64 {
	if mean <= 1 {
		return 1
	}
	return -1 / math.Expm1(-float64(max(size, 1))/float64(mean))
}
