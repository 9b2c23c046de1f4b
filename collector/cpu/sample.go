// Package cpu samples what runs on each CPU: which thread, on which user and
// kernel stack, at every tick of a perf event.
//
// [Open] chooses an event source that works on this host (see [Sources]), loads
// the program and starts it on all CPUs; samples then arrive in the core's ring
// buffer, where [Decode] turns a record into a [Sample].
package cpu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
)

// Sample is one tick. Frames are virtual addresses, the leaf first; all but the
// leaf are return addresses.
type Sample struct {
	Time        uint64 // ns of CLOCK_MONOTONIC
	CPU         int
	Process     process.Identity
	TID         uint32
	Thread      string // the thread's name, at most 15 bytes
	ProcessName string // its leader's
	Cgroup      uint64 // id in the v2 hierarchy
	// Weight is the period of the event, in the source's unit.
	Weight    uint64
	User      []uint64
	Kernel    []uint64
	UnwindEnd bpf.CoreUnwindEnd
}

// ErrMalformed says that a record is not what the program writes.
var ErrMalformed = errors.New("malformed CPU sample")

// layout is what the program writes, cut after the last frame. Records are read by
// its offsets and never through a pointer to it, which would reach behind their end.
type layout = bpf.CPUCpuSample

const (
	headerOffset = unsafe.Offsetof(layout{}.Header)
	threadOffset = unsafe.Offsetof(layout{}.Thread)
	stackOffset  = unsafe.Offsetof(layout{}.Stack)
	framesOffset = stackOffset + unsafe.Offsetof(layout{}.Stack.Frames)
)

// Decode reads a record of the ring buffer. The sample does not keep the record.
func Decode(record []byte) (Sample, error) {
	if uintptr(len(record)) < framesOffset {
		return Sample{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	u16 := func(offset uintptr) uint16 { return binary.NativeEndian.Uint16(record[offset:]) }
	u32 := func(offset uintptr) uint32 { return binary.NativeEndian.Uint32(record[offset:]) }
	u64 := func(offset uintptr) uint64 { return binary.NativeEndian.Uint64(record[offset:]) }
	user := int(u16(stackOffset + unsafe.Offsetof(layout{}.Stack.UserFrames)))
	kernel := int(u16(stackOffset + unsafe.Offsetof(layout{}.Stack.KernelFrames)))
	if want := framesOffset + uintptr(user+kernel)*8; uintptr(len(record)) < want {
		return Sample{}, fmt.Errorf("%w: %d bytes where %d frames need %d", ErrMalformed, len(record), user+kernel, want)
	}
	frames := make([]uint64, user+kernel)
	for i := range frames {
		frames[i] = u64(framesOffset + uintptr(i)*8)
	}
	return Sample{
		Time: u64(headerOffset + unsafe.Offsetof(layout{}.Header.Time)),
		CPU:  int(u32(headerOffset + unsafe.Offsetof(layout{}.Header.Cpu))),
		Process: process.Identity{
			PID:        u32(threadOffset + unsafe.Offsetof(layout{}.Thread.Tgid)),
			Start:      u64(threadOffset + unsafe.Offsetof(layout{}.Thread.ProcessStart)),
			Generation: u64(threadOffset + unsafe.Offsetof(layout{}.Thread.ExecGeneration)),
		},
		TID:         u32(threadOffset + unsafe.Offsetof(layout{}.Thread.Tid)),
		Thread:      name(record[threadOffset+unsafe.Offsetof(layout{}.Thread.ThreadName):]),
		ProcessName: name(record[threadOffset+unsafe.Offsetof(layout{}.Thread.ProcessName):]),
		Cgroup:      u64(threadOffset + unsafe.Offsetof(layout{}.Thread.Cgroup)),
		Weight:      u64(unsafe.Offsetof(layout{}.Weight)),
		User:        frames[:user:user],
		Kernel:      frames[user:],
		UnwindEnd:   bpf.CoreUnwindEnd(u16(stackOffset + unsafe.Offsetof(layout{}.Stack.Unwind))),
	}, nil
}

// name makes the command name at the start of the bytes valid UTF-8: a process may
// set any bytes.
func name(record []byte) string {
	const size = unsafe.Sizeof(layout{}.Thread.ThreadName)
	raw, _, _ := bytes.Cut(record[:size], []byte{0})
	return strings.ToValidUTF8(string(raw), "\uFFFD")
}
