package unwind

import (
	"runtime"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// ShortMemory is how a walk ends whose stack goes on behind its copy.
const ShortMemory = bpf.CoreUnwindEnd(rules.EndShortSnapshot)

// hostArch is the machine that the stacks are of.
var hostArch = map[string]rules.Arch{"amd64": rules.X86_64, "arm64": rules.ARM64}[runtime.GOARCH]

// Walk continues a walk in a copy of the stack. It appends the return addresses of
// the callers of the frame at which the memory begins, and tells how it ended. find
// gives the mapping that the process had at an address when the sample was taken.
func (t *Tables) Walk(frames []uint64, memory *Memory, find func(address uint64) (process.Mapping, bool)) ([]uint64, bpf.CoreUnwindEnd) {
	registers, stack := memory.start()
	for {
		walked, end, missing := t.walk(registers, stack, find)
		// Each round compiles a table, so that there are not many.
		if missing == nil || !t.compileForUser(missing) {
			return append(frames, walked[1:]...), end // the first is the one it began with
		}
	}
}

// start is where a walk in the memory begins.
func (m *Memory) start() (rules.Registers, []rules.Snapshot) {
	registers := rules.Registers{PC: m.PC, SP: m.SP, FP: m.FP, LR: m.Link, Caller: m.Caller}
	if m.Leaf {
		registers.Others = m.Registers[:]
	}
	return registers, m.Stack
}

// walk walks as far as there are tables, and returns the one that is missing.
func (t *Tables) walk(registers rules.Registers, stack []rules.Snapshot, find func(uint64) (process.Mapping, bool)) (frames []uint64, end bpf.CoreUnwindEnd, missing *table) {
	t.mu.Lock()
	defer t.mu.Unlock()
	walker := rules.Walker{Arch: hostArch, Find: func(pc uint64) (*rules.Table, uint64, rules.End) {
		m, ok := find(pc)
		if !ok {
			return nil, 0, rules.EndNoMapping
		}
		if !m.Binary.Ready() {
			return nil, 0, rules.EndNoTable
		}
		file, err := m.Binary.File()
		if err != nil {
			return nil, 0, rules.EndComplete // by frame pointer, as the kernel does
		}
		bias, ok := biasOf(m, file)
		if !ok || file.Machine() != hostMachine {
			return nil, 0, rules.EndComplete
		}
		x := t.byID[file.BuildID()]
		if x == nil {
			if x = t.add(file); x == nil {
				return nil, 0, rules.EndNoTable
			}
		}
		switch {
		case x.none:
			return nil, 0, rules.EndComplete
		case x.loaded.Rows != nil:
			return &x.loaded, bias, rules.EndComplete
		case x.heap != nil:
			t.clock++
			x.used = t.clock
			return x.heap, bias, rules.EndComplete
		}
		missing = x
		return nil, 0, rules.EndNoTable
	}}
	var reason rules.End
	frames, reason = walker.Walk(nil, registers, stack...)
	return frames, bpf.CoreUnwindEnd(reason), missing
}

// compileForUser makes a table that a walk in user space lacks; false if there is none
// to be had.
func (t *Tables) compileForUser(x *table) bool {
	t.compile(x)
	return t.has(x)
}
