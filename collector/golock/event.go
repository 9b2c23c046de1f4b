package golock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/window"
)

// Event is a wait of a goroutine that has ended.
type Event struct {
	// Releaser is the thread that made the goroutine ready, and ReleaseStack where.
	Releaser     process.Thread
	ReleaseStack window.StackID
	// WaiterTID is the thread that the goroutine parked on, and Stack where it did.
	WaiterTID uint32
	Stack     window.StackID
	// Goroutine is the address of its runtime.g.
	Goroutine uint64
	// Lock is the address of what it waited for: a semaphore, or the lock within a channel
	// or condition variable; 0 if there is no one such thing, as in select.
	Lock        uint64
	Since, Time uint64 // ns of CLOCK_MONOTONIC
	// Weight is how many waits it stands for: short ones are thinned out.
	Weight float64
	Reason uint32 // by number
	Target uint32 // the number of the process's probes
}

// ErrMalformed says that a record is not what the program writes.
var ErrMalformed = errors.New("malformed wait of a goroutine")

const (
	eventSize = unsafe.Sizeof(bpf.GoLockGoWaitEvent{})
	weightOne = 256 // WEIGHT_ONE of bpf/golock.bpf.c
)

// Decode reads an EVENT_GO_WAIT of the ring buffer. It does not keep the record.
func Decode(record []byte) (Event, error) {
	if uintptr(len(record)) < eventSize {
		return Event{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	var raw bpf.GoLockGoWaitEvent
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), eventSize), record)
	if raw.Since > raw.Header.Time || raw.Weight == 0 {
		return Event{}, fmt.Errorf("%w: from %d to %d with weight %d", ErrMalformed, raw.Since, raw.Header.Time, raw.Weight)
	}
	return Event{
		Releaser:     process.DecodeThread(record[unsafe.Offsetof(raw.Thread):]),
		ReleaseStack: window.StackID{raw.ReleaseStack.Low, raw.ReleaseStack.High},
		WaiterTID:    raw.Tid, Stack: window.StackID{raw.Stack.Low, raw.Stack.High},
		Goroutine: raw.Goroutine, Lock: raw.Lock,
		Since: raw.Since, Time: raw.Header.Time, Weight: float64(raw.Weight) / weightOne,
		Reason: raw.Reason, Target: raw.Target,
	}, nil
}

// IsEvent tells whether a record of the ring buffer is of a goroutine's wait.
func IsEvent(record []byte) bool {
	kind := unsafe.Offsetof(bpf.GoLockGoWaitEvent{}.Header.Kind)
	return uintptr(len(record)) >= kind+4 && bpf.CoreEventKind(binary.NativeEndian.Uint32(record[kind:])) == bpf.CoreEventKindEVENT_GO_WAIT
}

// Length is how long it waited, in ns.
func (e Event) Length() uint64 { return e.Time - e.Since }
