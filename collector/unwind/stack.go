package unwind

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
)

// Stack is a stack as events carry it. Frames are virtual addresses, the leaf first; all
// but the leaf are return addresses.
type Stack struct {
	Walked
	User   []uint64
	Kernel []uint64
	// Version is that of the mappings that the walk went by, 0 if they were not known.
	Version uint64
	// HasMemory tells that the program sent Memory before the event.
	HasMemory bool
	// OfAllocation tells that the kernel's frames begin in what allocates its memory.
	OfAllocation bool
}

// Where the fields lie in a struct stack. An event's is cut behind its last frame, so it
// must not be read as a whole one.
const (
	userFramesOffset   = unsafe.Offsetof(bpf.CoreStack{}.UserFrames)
	kernelFramesOffset = unsafe.Offsetof(bpf.CoreStack{}.KernelFrames)
	unwindOffset       = unsafe.Offsetof(bpf.CoreStack{}.Unwind)
	hasMemoryOffset    = unsafe.Offsetof(bpf.CoreStack{}.Memory)
	allocationOffset   = unsafe.Offsetof(bpf.CoreStack{}.OfAllocation)
	fileOffset         = unsafe.Offsetof(bpf.CoreStack{}.File)
	versionOffset      = unsafe.Offsetof(bpf.CoreStack{}.Version)
	framesOffset       = unsafe.Offsetof(bpf.CoreStack{}.Frames)
)

// ErrMalformedStack says that a record does not hold the stack that it should.
var ErrMalformedStack = fmt.Errorf("malformed stack")

// DecodeStack reads the stack at the end of a record, of a process at a time. It does not
// keep the record.
func DecodeStack(raw []byte, time uint64, id process.Identity) (Stack, error) {
	if uintptr(len(raw)) < framesOffset {
		return Stack{}, fmt.Errorf("%w: %d bytes", ErrMalformedStack, len(raw))
	}
	native := binary.NativeEndian
	user, kernel := int(native.Uint16(raw[userFramesOffset:])), int(native.Uint16(raw[kernelFramesOffset:]))
	if want := framesOffset + uintptr(user+kernel)*8; uintptr(len(raw)) < want {
		return Stack{}, fmt.Errorf("%w: %d bytes where %d frames need %d", ErrMalformedStack, len(raw), user+kernel, want)
	}
	frames := make([]uint64, user+kernel)
	for i := range frames {
		frames[i] = native.Uint64(raw[framesOffset+uintptr(i)*8:])
	}
	return Stack{
		Walked: Walked{
			Time: time, Process: id, End: bpf.CoreUnwindEnd(native.Uint16(raw[unwindOffset:])), File: native.Uint32(raw[fileOffset:]),
		},
		User: frames[:user:user], Kernel: frames[user:],
		Version: native.Uint64(raw[versionOffset:]), HasMemory: raw[hasMemoryOffset] != 0,
		OfAllocation: native.Uint32(raw[allocationOffset:]) != 0,
	}, nil
}
