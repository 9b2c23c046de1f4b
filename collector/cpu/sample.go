// Package cpu samples what runs on each CPU: which thread, on which user and
// kernel stack, at every tick of a perf event.
//
// [Open] chooses an event source that works on this host (see [Sources]), loads
// the program and starts it on all CPUs; samples then arrive in the core's ring
// buffer, where [Decode] turns a record into a [Sample].
package cpu

import (
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

const framesOffset = unsafe.Offsetof(bpf.CPUCpuSample{}.Stack) + unsafe.Offsetof(bpf.CPUCpuSample{}.Stack.Frames)

// Decode reads a record of the ring buffer. The sample does not keep the record.
func Decode(record []byte) (Sample, error) {
	if uintptr(len(record)) < framesOffset {
		return Sample{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	// Only the fields before the frames may be read through this pointer: the
	// record ends where its last frame does.
	raw := (*bpf.CPUCpuSample)(unsafe.Pointer(unsafe.SliceData(record)))
	user, kernel := int(raw.Stack.UserFrames), int(raw.Stack.KernelFrames)
	if want := framesOffset + uintptr(user+kernel)*8; uintptr(len(record)) < want {
		return Sample{}, fmt.Errorf("%w: %d bytes where %d frames need %d", ErrMalformed, len(record), user+kernel, want)
	}
	frames := make([]uint64, user+kernel)
	for i := range frames {
		frames[i] = binary.NativeEndian.Uint64(record[framesOffset+uintptr(i)*8:])
	}
	return Sample{
		Time:        raw.Header.Time,
		CPU:         int(raw.Header.Cpu),
		Process:     process.Identity{PID: raw.Thread.Tgid, Start: raw.Thread.ProcessStart, Generation: raw.Thread.ExecGeneration},
		TID:         raw.Thread.Tid,
		Thread:      name(&raw.Thread.ThreadName),
		ProcessName: name(&raw.Thread.ProcessName),
		Cgroup:      raw.Thread.Cgroup,
		Weight:      raw.Weight,
		User:        frames[:user:user],
		Kernel:      frames[user:],
		UnwindEnd:   bpf.CoreUnwindEnd(raw.Stack.Unwind),
	}, nil
}

// name makes a command name valid UTF-8: a process may set any bytes.
func name(raw *[16]int8) string {
	b := unsafe.Slice((*byte)(unsafe.Pointer(raw)), len(raw))
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.ToValidUTF8(s, "\uFFFD")
}
