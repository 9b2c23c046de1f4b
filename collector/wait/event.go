package wait

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/window"
)

// Stack is a stack that events name by its ID from now on.
type Stack struct {
	ID     window.StackID
	Thread process.Thread
	CPU    int
	unwind.Stack
}

// Event is a wait that has ended, or the part of it until now.
type Event struct {
	Thread process.Thread
	// NamespaceTID is the thread's number in its own PID namespace, as it writes it into
	// its locks.
	NamespaceTID uint32
	// Since is when the thread left its CPU, Woken when it was made runnable again (0: not
	// yet), Time when it ran again; ns of CLOCK_MONOTONIC.
	Since, Woken, Time uint64
	// Weight is how many waits of the same kind it stands for: short ones are thinned out.
	Weight float64
	// Stack is where the thread waited. It is zero if none was taken (HasStack false,
	// where switches are too many) or if it was lost.
	Stack    window.StackID
	HasStack bool
	// Waker is who made the thread runnable, unless an interrupt did.
	Waker Waker
	// Syscall is the number of the system call that the thread was in, -1 for none.
	Syscall int
	Flags   bpf.CoreWaitFlag
	Futex   FutexCall
}

// Waker is the thread that ended a wait; its TID is 0 if it was none.
type Waker struct {
	PID, TID uint32
	Stack    window.StackID // zero if none was taken
}

// FutexCall is the futex call that the thread waited in.
type FutexCall struct {
	Address uint64
	// Operation is FUTEX_WAIT and so on without flags, plus one; 0 if it was in none.
	Operation uint32
	Flags     uint32
	Value     uint32
	// Owner is the lock's holder by the word, or by glibc's layout, when the wait began: a
	// TID in the process's own PID namespace; 0 if not known.
	Owner uint32
}

// ErrMalformed says that a record is not what the programs write.
var ErrMalformed = errors.New("malformed wait")

const (
	stackHeader = unsafe.Offsetof(bpf.CoreStackEvent{}.Stack)
	eventSize   = unsafe.Sizeof(bpf.CoreWaitEvent{})
)

// DecodeStack reads an EVENT_STACK of the ring buffer. It does not keep the record.
func DecodeStack(record []byte) (Stack, error) {
	if uintptr(len(record)) < stackHeader {
		return Stack{}, fmt.Errorf("%w: a stack of %d bytes", ErrMalformed, len(record))
	}
	const (
		header = unsafe.Offsetof(bpf.CoreStackEvent{}.Header)
		time   = header + unsafe.Offsetof(bpf.CoreStackEvent{}.Header.Time)
		cpu    = header + unsafe.Offsetof(bpf.CoreStackEvent{}.Header.Cpu)
		thread = unsafe.Offsetof(bpf.CoreStackEvent{}.Thread)
		id     = unsafe.Offsetof(bpf.CoreStackEvent{}.Id)
	)
	native := binary.NativeEndian
	s := Stack{
		ID:     window.StackID{native.Uint64(record[id:]), native.Uint64(record[id+8:])},
		Thread: process.DecodeThread(record[thread:]), CPU: int(native.Uint32(record[cpu:])),
	}
	var err error
	if s.Stack, err = unwind.DecodeStack(record[stackHeader:], native.Uint64(record[time:]), s.Thread.Identity); err != nil {
		return Stack{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s, nil
}

// Decode reads an EVENT_WAIT of the ring buffer. It does not keep the record.
func Decode(record []byte) (Event, error) {
	if uintptr(len(record)) < eventSize {
		return Event{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	var raw bpf.CoreWaitEvent
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), eventSize), record)
	e := Event{
		Thread:       process.DecodeThread(record[unsafe.Offsetof(raw.Thread):]),
		NamespaceTID: raw.NamespaceTid,
		Since:        raw.Since, Woken: raw.Woken, Time: raw.Header.Time,
		Weight: float64(raw.Weight) / weightOne,
		Stack:  window.StackID{raw.Stack.Low, raw.Stack.High}, HasStack: raw.HasStack != 0,
		Waker:   Waker{PID: raw.WakerTgid, TID: raw.WakerTid, Stack: window.StackID{raw.WakerStack.Low, raw.WakerStack.High}},
		Syscall: int(raw.Syscall), Flags: bpf.CoreWaitFlag(raw.Flags),
		Futex: FutexCall{
			Address: raw.Futex.Address, Operation: raw.Futex.Operation, Flags: raw.Futex.Flags,
			Value: raw.Futex.Value, Owner: raw.Futex.Owner,
		},
	}
	if e.Since > e.Time || raw.Weight == 0 {
		return Event{}, fmt.Errorf("%w: from %d to %d with weight %d", ErrMalformed, e.Since, e.Time, raw.Weight)
	}
	if e.Woken < e.Since || e.Woken > e.Time {
		e.Woken = 0
	}
	return e, nil
}

// weightOne is WEIGHT_ONE of bpf/thread_wait.h.
const weightOne = 256

// Blocked and Runnable are the parts of the wait until the thread was made runnable, and
// until it ran, in ns.
func (e Event) Blocked() uint64 { return e.woken() - e.Since }

// Runnable is how long the thread then waited for a CPU.
func (e Event) Runnable() uint64 { return e.Time - e.woken() }

// WokenTime is when the blocked part of the wait ended.
func (e Event) woken() uint64 {
	if e.Woken == 0 {
		return e.Time
	}
	return e.Woken
}
