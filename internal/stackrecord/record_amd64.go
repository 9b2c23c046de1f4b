package stackrecord

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

const (
	maxMemory = 64 << 10 // of a stack
	below     = 128      // the red zone
)

// Record stops a thread for a moment and records its stack. The caller must be allowed
// to trace it (ptrace(2)).
func Record(tid int, what string) (s *Stack, err error) {
	runtime.LockOSThread() // only the thread that attached may ask
	defer runtime.UnlockOSThread()
	if err := unix.PtraceSeize(tid); err != nil {
		return nil, fmt.Errorf("attaching to thread %d: %w", tid, err)
	}
	defer func() { err = errors.Join(err, unix.PtraceDetach(tid)) }()
	if err := unix.PtraceInterrupt(tid); err != nil {
		return nil, fmt.Errorf("stopping thread %d: %w", tid, err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(tid, &status, unix.WALL, nil); err != nil {
		return nil, fmt.Errorf("waiting for thread %d to stop: %w", tid, err)
	}
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return nil, fmt.Errorf("reading the registers of thread %d: %w", tid, err)
	}
	s = &Stack{What: what, Arch: unwind.X86_64, Registers: unwind.Registers{
		PC: regs.Rip, SP: regs.Rsp, FP: regs.Rbp,
		Others: []uint64{regs.Rax, regs.Rdx, regs.Rcx, regs.Rbx, regs.Rsi, regs.Rdi, regs.Rbp, regs.Rsp,
			regs.R8, regs.R9, regs.R10, regs.R11, regs.R12, regs.R13, regs.R14, regs.R15},
	}}
	if err := s.read(tid); err != nil {
		return nil, err
	}
	s.Frames, s.End = s.Walk()
	s.trim()
	s.forget()
	if frames, end := s.Walk(); end != s.End || !slices.Equal(frames, s.Frames) {
		return nil, fmt.Errorf("what is needed of the stack of thread %d cannot be told from the rest", tid)
	}
	return s, nil
}

// read reads the stack's memory and what is mapped.
func (s *Stack) read(tid int) error {
	proc, err := procfs.NewProc(tid)
	if err != nil {
		return fmt.Errorf("reading process %d: %w", tid, err)
	}
	maps, err := proc.ProcMaps()
	if err != nil {
		return fmt.Errorf("reading the mappings of process %d: %w", tid, err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", tid))
	if err != nil {
		return fmt.Errorf("reading the memory of process %d: %w", tid, err)
	}
	defer memory.Close()
	for _, m := range maps {
		start, end := uint64(m.StartAddr), uint64(m.EndAddr)
		from := uint64(0)
		switch {
		case s.Registers.SP >= start && s.Registers.SP < end:
			from = max(start, s.Registers.SP-below)
		case m.Pathname == "[stack]": // a signal's handler may have left it
			from = end - min(end-start, maxMemory)
		}
		if from != 0 {
			part := Memory{Address: from, Bytes: make([]byte, min(end-from, maxMemory))}
			if _, err := memory.ReadAt(part.Bytes, int64(from)); err != nil {
				return fmt.Errorf("reading the stack of process %d: %w", tid, err)
			}
			s.Memory = append(s.Memory, part)
		}
		if m.Perms.Execute {
			s.Code = append(s.Code, codeOf(m, fmt.Sprintf("/proc/%d/map_files/%x-%x", tid, start, end)))
		}
	}
	return nil
}

// codeOf describes a mapping of code; what cannot be read of it is left out, since the
// walk does without as well.
func codeOf(m *procfs.ProcMap, path string) Code {
	c := Code{Start: uint64(m.StartAddr), End: uint64(m.EndAddr), File: filepath.Base(m.Pathname)}
	f, err := os.Open(path)
	if err != nil {
		return c
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return c
	}
	file, err := binary.Open(f, info.Size())
	if err != nil {
		return c
	}
	for _, segment := range file.Executables() {
		if segment.Offset < uint64(m.Offset)+c.End-c.Start && uint64(m.Offset) < segment.Offset+segment.Filesz {
			table, err := unwind.Compile(file, unwind.Limits{})
			if err != nil {
				return c
			}
			c.Bias = c.Start - uint64(m.Offset) + segment.Offset - segment.Vaddr
			c.Base, c.Rows, c.Wide = table.Base, table.Rows, table.Wide
			return c
		}
	}
	return c
}
