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
	"github.com/narrows-profiler/narrows/collector/unwind"
)

// Sample is one tick. Frames are virtual addresses, the leaf first; all but the
// leaf are return addresses.
type Sample struct {
	unwind.Walked
	CPU         int
	TID         uint32
	Thread      string // the thread's name, at most 15 bytes
	ProcessName string // its leader's
	Cgroup      uint64 // id in the v2 hierarchy
	// Weight is the period of the event, in the source's unit.
	Weight uint64
	User   []uint64
	Kernel []uint64
	// Version is that of the mappings that the walk went by, 0 if they were not known.
	Version uint64
	// HasMemory tells that the program sent Memory before the sample.
	HasMemory bool
}

// ErrMalformed says that a record is not what the program writes.
var ErrMalformed = errors.New("malformed CPU sample")

// Where the fields lie in a record. A record is a CPUCpuSample cut behind its last
// frame, so it must not be read as a whole one.
const (
	timeOffset         = unsafe.Offsetof(bpf.CPUCpuSample{}.Header) + unsafe.Offsetof(bpf.CPUCpuSample{}.Header.Time)
	cpuOffset          = unsafe.Offsetof(bpf.CPUCpuSample{}.Header) + unsafe.Offsetof(bpf.CPUCpuSample{}.Header.Cpu)
	threadOffset       = unsafe.Offsetof(bpf.CPUCpuSample{}.Thread)
	weightOffset       = unsafe.Offsetof(bpf.CPUCpuSample{}.Weight)
	stackOffset        = unsafe.Offsetof(bpf.CPUCpuSample{}.Stack)
	userFramesOffset   = stackOffset + unsafe.Offsetof(bpf.CPUCpuSample{}.Stack.UserFrames)
	kernelFramesOffset = stackOffset + unsafe.Offsetof(bpf.CPUCpuSample{}.Stack.KernelFrames)
	unwindOffset       = stackOffset + unsafe.Offsetof(bpf.CPUCpuSample{}.Stack.Unwind)
	hasMemoryOffset    = stackOffset + unsafe.Offsetof(bpf.CPUCpuSample{}.Stack.Memory)
	fileOffset         = stackOffset + unsafe.Offsetof(bpf.CPUCpuSample{}.Stack.File)
	versionOffset      = stackOffset + unsafe.Offsetof(bpf.CPUCpuSample{}.Stack.Version)
	framesOffset       = stackOffset + unsafe.Offsetof(bpf.CPUCpuSample{}.Stack.Frames)
)

// Decode reads a record of the ring buffer. The sample does not keep the record.
func Decode(record []byte) (Sample, error) {
	if uintptr(len(record)) < framesOffset {
		return Sample{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	native := binary.NativeEndian
	user, kernel := int(native.Uint16(record[userFramesOffset:])), int(native.Uint16(record[kernelFramesOffset:]))
	if want := framesOffset + uintptr(user+kernel)*8; uintptr(len(record)) < want {
		return Sample{}, fmt.Errorf("%w: %d bytes where %d frames need %d", ErrMalformed, len(record), user+kernel, want)
	}
	frames := make([]uint64, user+kernel)
	for i := range frames {
		frames[i] = native.Uint64(record[framesOffset+uintptr(i)*8:])
	}
	var thread bpf.CoreThreadIdentity
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&thread)), unsafe.Sizeof(thread)), record[threadOffset:])
	return Sample{
		Walked: unwind.Walked{
			Time:    native.Uint64(record[timeOffset:]),
			Process: process.Identity{PID: thread.Tgid, Start: thread.ProcessStart, Generation: thread.ExecGeneration},
			End:     bpf.CoreUnwindEnd(native.Uint16(record[unwindOffset:])),
			File:    native.Uint32(record[fileOffset:]),
		},
		CPU:         int(native.Uint32(record[cpuOffset:])),
		TID:         thread.Tid,
		Thread:      name(&thread.ThreadName),
		ProcessName: name(&thread.ProcessName),
		Cgroup:      thread.Cgroup,
		Weight:      native.Uint64(record[weightOffset:]),
		User:        frames[:user:user],
		Kernel:      frames[user:],
		Version:     native.Uint64(record[versionOffset:]),
		HasMemory:   record[hasMemoryOffset] != 0,
	}, nil
}

// name makes a command name valid UTF-8: a process may set any bytes.
func name(raw *[16]int8) string {
	b := unsafe.Slice((*byte)(unsafe.Pointer(raw)), len(raw))
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.ToValidUTF8(s, "\uFFFD")
}
