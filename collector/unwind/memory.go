package unwind

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// Memory is what a walk left off at: registers and a copy of the stack.
type Memory struct {
	Time uint64
	CPU  int
	// PC, SP, FP and Link are the registers of the frame at which the walk ended. If
	// it is a Caller, PC is a return address and Link unknown. If it is the thread's
	// Leaf, and not one that a signal interrupted, Registers are known too, by their
	// DWARF numbers.
	PC, SP, FP, Link uint64
	Leaf, Caller     bool
	Registers        Registers
	// Stack is the memory from SP on, and where frame pointers lead to another stack,
	// the memory there.
	Stack []rules.Snapshot
}

// ErrMalformed says that a record is not what the program writes.
var ErrMalformed = errors.New("malformed stack memory")

// Where the fields lie in a record: a struct stack_memory, cut behind its last byte.
const (
	timeOffset      = unsafe.Offsetof(bpf.CoreStackMemory{}.Header) + unsafe.Offsetof(bpf.CoreStackMemory{}.Header.Time)
	cpuOffset       = unsafe.Offsetof(bpf.CoreStackMemory{}.Header) + unsafe.Offsetof(bpf.CoreStackMemory{}.Header.Cpu)
	pcOffset        = unsafe.Offsetof(bpf.CoreStackMemory{}.Pc)
	spOffset        = unsafe.Offsetof(bpf.CoreStackMemory{}.Sp)
	fpOffset        = unsafe.Offsetof(bpf.CoreStackMemory{}.Fp)
	linkOffset      = unsafe.Offsetof(bpf.CoreStackMemory{}.Link)
	leafOffset      = unsafe.Offsetof(bpf.CoreStackMemory{}.Leaf)
	callerOffset    = unsafe.Offsetof(bpf.CoreStackMemory{}.Caller)
	sizeOffset      = unsafe.Offsetof(bpf.CoreStackMemory{}.Size)
	otherSizeOffset = unsafe.Offsetof(bpf.CoreStackMemory{}.OtherSize)
	otherOffset     = unsafe.Offsetof(bpf.CoreStackMemory{}.Other)
	registersOffset = unsafe.Offsetof(bpf.CoreStackMemory{}.Registers)
	bytesOffset     = unsafe.Offsetof(bpf.CoreStackMemory{}.Bytes)

	maxMemoryBytes = 32 << 10 // MAX_STACK_MEMORY of bpf/stack_memory.h
)

// Decode reads a record of the ring buffer. The memory does not keep the record.
func Decode(record []byte) (*Memory, error) {
	if uintptr(len(record)) < bytesOffset {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	native := binary.NativeEndian
	size, other, rest := native.Uint32(record[sizeOffset:]), native.Uint32(record[otherSizeOffset:]), record[bytesOffset:]
	if size > maxMemoryBytes || other > maxMemoryBytes || int(size+other) > len(rest) {
		return nil, fmt.Errorf("%w: %d and %d bytes of stack in a record of %d", ErrMalformed, size, other, len(record))
	}
	bytes := append([]byte(nil), rest[:size+other]...)
	m := &Memory{
		Time: native.Uint64(record[timeOffset:]), CPU: int(native.Uint32(record[cpuOffset:])),
		PC: native.Uint64(record[pcOffset:]), SP: native.Uint64(record[spOffset:]),
		FP: native.Uint64(record[fpOffset:]), Link: native.Uint64(record[linkOffset:]),
		Leaf: native.Uint16(record[leafOffset:]) != 0, Caller: native.Uint16(record[callerOffset:]) != 0,
		Registers: registers(func(i int) uint64 { return native.Uint64(record[registersOffset+8*uintptr(i):]) }),
	}
	m.Stack = []rules.Snapshot{{Address: m.SP, Bytes: bytes[:size:size]}}
	if other > 0 {
		m.Stack = append(m.Stack, rules.Snapshot{Address: native.Uint64(record[otherOffset:]), Bytes: bytes[size:]})
	}
	return m, nil
}

// Size is how many bytes of stack it holds.
func (m *Memory) Size() int {
	size := 0
	for _, part := range m.Stack {
		size += len(part.Bytes)
	}
	return size
}
