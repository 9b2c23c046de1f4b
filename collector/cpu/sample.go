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
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
)

// Sample is one tick.
type Sample struct {
	unwind.Stack
	Thread process.Thread
	CPU    int
	// Weight is the period of the event, in the source's unit.
	Weight uint64
}

// ErrMalformed says that a record is not what the program writes.
var ErrMalformed = errors.New("malformed CPU sample")

// Where the fields lie in a record: a CPUCpuSample cut behind its last frame.
const (
	timeOffset   = unsafe.Offsetof(bpf.CPUCpuSample{}.Header) + unsafe.Offsetof(bpf.CPUCpuSample{}.Header.Time)
	cpuOffset    = unsafe.Offsetof(bpf.CPUCpuSample{}.Header) + unsafe.Offsetof(bpf.CPUCpuSample{}.Header.Cpu)
	threadOffset = unsafe.Offsetof(bpf.CPUCpuSample{}.Thread)
	weightOffset = unsafe.Offsetof(bpf.CPUCpuSample{}.Weight)
	stackOffset  = unsafe.Offsetof(bpf.CPUCpuSample{}.Stack)
	framesOffset = stackOffset + unsafe.Offsetof(bpf.CPUCpuSample{}.Stack.Frames)
)

// Decode reads a record of the ring buffer. The sample does not keep the record.
func Decode(record []byte) (Sample, error) {
	if uintptr(len(record)) < stackOffset {
		return Sample{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	native := binary.NativeEndian
	thread := process.DecodeThread(record[threadOffset:])
	stack, err := unwind.DecodeStack(record[stackOffset:], native.Uint64(record[timeOffset:]), thread.Identity)
	if err != nil {
		return Sample{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return Sample{
		Stack: stack, Thread: thread,
		CPU: int(native.Uint32(record[cpuOffset:])), Weight: native.Uint64(record[weightOffset:]),
	}, nil
}
