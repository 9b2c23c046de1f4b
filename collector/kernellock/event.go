package kernellock

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/window"
)

// Event is a wait for a lock of the kernel that has ended, or the part of it until now.
type Event struct {
	Thread process.Thread
	CPU    int
	// Since and Time are when the wait, or this part of it, began and ended, ns of
	// CLOCK_MONOTONIC; Nested is how much of that it waited for other locks.
	Since, Time, Nested uint64
	// Weight is how many such waits it stands for: short ones are thinned out.
	Weight float64
	Lock   uint64 // its address
	Kind   Flags
	Result Result
	// Stack is where it waited; zero if it was lost, or if HasStack is false.
	Stack    window.StackID
	HasStack bool
	// Owner is who held the lock when the wait began, Waker who let go of it in the end;
	// zero if not known.
	Owner, Waker Task
	ReleaseStack window.StackID // the waker's, zero if none was taken
	// Interrupt tells that an interrupt waited: it has nothing to do with the thread. NoCall
	// tells that the thread is in no system call: it is in a fault, or an interrupt waited on
	// its stack, which only the functions on it tell.
	Interrupt, NoCall bool
	Slept             bool // the thread did not only spin
	Open              bool // it has not ended
	Continued         bool // earlier parts of it were told of
	// Cache is the slab cache that the lock's object is from, and Offset where in the object
	// the lock lies; empty if it is in none, or this kernel does not say.
	Cache  string
	Offset uint32
}

// Task is a thread by its numbers.
type Task struct{ PID, TID uint32 }

// Result is what a wait ended with: 0 or a negative errno.
type Result int32

// ErrMalformed says that a record is not what the programs write.
var ErrMalformed = errors.New("malformed wait for a kernel lock")

const (
	eventSize = unsafe.Sizeof(bpf.CoreContentionEvent{})
	weightOne = 256 // WEIGHT_ONE of bpf/thread_wait.h
)

// Decode reads an EVENT_CONTENTION of the ring buffer. It does not keep the record.
func Decode(record []byte) (Event, error) {
	if uintptr(len(record)) < eventSize {
		return Event{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	var raw bpf.CoreContentionEvent
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), eventSize), record)
	if raw.Since > raw.Header.Time || raw.Nested > raw.Header.Time-raw.Since || raw.Weight == 0 {
		return Event{}, fmt.Errorf("%w: from %d to %d, %d of it nested, with weight %d", ErrMalformed, raw.Since, raw.Header.Time, raw.Nested, raw.Weight)
	}
	flag := func(f bpf.CoreContentionFlag) bool { return raw.Flags&uint32(f) != 0 }
	cache, _, _ := strings.Cut(string(unsafe.Slice((*byte)(unsafe.Pointer(&raw.Cache)), len(raw.Cache))), "\x00")
	return Event{
		Thread: process.DecodeThread(record[unsafe.Offsetof(raw.Thread):]), CPU: int(raw.Header.Cpu),
		Since: raw.Since, Time: raw.Header.Time, Nested: raw.Nested,
		Weight: float64(raw.Weight) / weightOne,
		Lock:   raw.Lock, Kind: Flags(raw.LockFlags), Result: Result(raw.Result),
		Stack: window.StackID{raw.Stack.Low, raw.Stack.High}, HasStack: flag(bpf.CoreContentionFlagCONTENTION_HAS_STACK),
		Owner: Task{raw.OwnerTgid, raw.OwnerTid}, Waker: Task{raw.WakerTgid, raw.WakerTid},
		ReleaseStack: window.StackID{raw.ReleaseStack.Low, raw.ReleaseStack.High},
		Interrupt:    flag(bpf.CoreContentionFlagCONTENTION_INTERRUPT),
		NoCall:       flag(bpf.CoreContentionFlagCONTENTION_NO_CALL),
		Slept:        flag(bpf.CoreContentionFlagCONTENTION_SLEPT),
		Open:         flag(bpf.CoreContentionFlagCONTENTION_OPEN),
		Continued:    flag(bpf.CoreContentionFlagCONTENTION_CONTINUED),
		Cache:        strings.ToValidUTF8(cache, "\uFFFD"), Offset: raw.Offset,
	}, nil
}

// Length is how long it waited for this lock alone, in ns.
func (e Event) Length() uint64 { return e.Time - e.Since - e.Nested }
