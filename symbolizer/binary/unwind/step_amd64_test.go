package unwind

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// A steppedThread is a thread that runs instruction by instruction. What it does
// is known from the instructions themselves: each call is noted, so that at any
// moment the true callers, and what their stack and frame pointers were, are
// known without any table.
type steppedThread struct {
	t      testing.TB
	pid    int
	memory *os.File
	regs   syscall.PtraceRegs
	code   map[uint64]instruction
	space  *space
	stacks []*shadow // the current one first

	checked, walked, deepest                   int
	signals, switches                          int
	none, inexpressible, end, imprecise, wrong int
	kinds                                      map[Kind]int
	walker                                     Walker
	signal                                     int  // to be delivered with the next step
	known                                      bool // there is a rule for the current instruction
}

type instruction uint8

const (
	unknown instruction = iota
	other
	call
	ret
)

// ptrace is the system call.
func ptrace(request, pid int, addr, data uintptr) error {
	if _, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, uintptr(request), uintptr(pid), addr, data, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

const (
	ptraceSingleStep = 9
	ptraceCont       = 7
	ptraceExitKill   = 1 << 20
)

// startStepped starts a program that stops at its first instruction, or at the
// first signal it sends itself if that is given. It must be called on a locked
// thread, which all calls after it come from.
func startStepped(t testing.TB, until syscall.Signal, path string) *steppedThread {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	process, err := os.StartProcess(path, []string{path}, &os.ProcAttr{
		Env:   []string{"LD_BIND_NOW=", "GOGC=off", "GOMAXPROCS=2", "GODEBUG=asyncpreemptoff=1"},
		Files: []*os.File{null, null, null},
		Sys:   &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		t.Skipf("a program cannot be traced: %v", err)
	}
	s := &steppedThread{t: t, pid: process.Pid, code: make(map[uint64]instruction), kinds: make(map[Kind]int)}
	t.Cleanup(func() {
		syscall.Kill(s.pid, syscall.SIGKILL)
		process.Wait()
	})
	status := s.wait()
	if err := syscall.PtraceSetOptions(s.pid, ptraceExitKill); err != nil {
		t.Skipf("tracing: %v", err)
	}
	for until != 0 {
		if !status.Stopped() {
			t.Fatalf("the program ended before it stopped itself: %v", status)
		}
		signal := status.StopSignal()
		if signal == until {
			break
		}
		if signal == syscall.SIGTRAP {
			signal = 0
		}
		if err := ptrace(ptraceCont, s.pid, 0, uintptr(signal)); err != nil {
			t.Fatal(err)
		}
		status = s.wait()
	}
	if s.memory, err = os.Open(fmt.Sprintf("/proc/%d/mem", s.pid)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.memory.Close() })
	s.registers()
	s.stacks = []*shadow{{whole: until == 0}}
	s.space = newSpace(t, s.pid)
	s.walker = Walker{Find: s.space.find}
	return s
}

func (s *steppedThread) wait() syscall.WaitStatus {
	s.t.Helper()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(s.pid, &status, syscall.WALL, nil); err != nil {
		s.t.Fatalf("waiting: %v", err)
	}
	return status
}

func (s *steppedThread) registers() {
	if err := syscall.PtraceGetRegs(s.pid, &s.regs); err != nil {
		s.t.Fatalf("reading registers: %v", err)
	}
}

// read fills data from memory and answers how much there was.
func (s *steppedThread) read(data []byte, addr uint64) int {
	n, _ := s.memory.ReadAt(data, int64(addr))
	return n
}

func (s *steppedThread) word(addr uint64) uint64 {
	var b [8]byte
	s.read(b[:], addr)
	return binary.LittleEndian.Uint64(b[:])
}

// decode says whether the instruction at pc calls or returns.
func (s *steppedThread) decode(pc uint64) instruction {
	if known := s.code[pc]; known != unknown {
		return known
	}
	var b [8]byte
	n := s.read(b[:], pc)
	i := 0
	for i < n-2 && (b[i] == 0xf2 || b[i] == 0xf3 || b[i] == 0x3e || b[i] == 0x66 || b[i] == 0x67 || b[i]&0xf0 == 0x40) {
		i++
	}
	kind := other
	switch {
	case b[i] == 0xe8, b[i] == 0xff && b[i+1]>>3&7 == 2:
		kind = call
	case b[i] == 0xc3, b[i] == 0xc2:
		kind = ret
	}
	s.code[pc] = kind
	return kind
}

// step executes one instruction and answers false when the program is over.
func (s *steppedThread) step() bool {
	before := s.regs
	kind := s.decode(before.Rip)
	delivered := s.signal
	if err := ptrace(ptraceSingleStep, s.pid, 0, uintptr(s.signal)); err != nil {
		s.t.Fatalf("stepping: %v", err)
	}
	s.signal = 0
	status := s.wait()
	if status.Exited() || status.Signaled() {
		return false
	}
	if signal := status.StopSignal(); signal != syscall.SIGTRAP {
		s.signal = int(signal)
	}
	s.registers()
	s.follow(&before, kind, delivered)
	return true
}

// run steps through a program, checks each instruction, and walks the whole stack
// now and then. It answers whether the program came to its end.
func (s *steppedThread) run(steps int) (ended bool) {
	for i := 0; i < steps && !ended; i++ {
		s.check()
		if i%211 == 0 {
			s.walk()
		}
		ended = !s.step()
	}
	s.t.Logf("%d instructions checked, %d whole walks up to %d frames, %d signals, %d changes of the stack; "+
		"%d at a root, %d without a rule, %d not expressible, %d imprecise, %d wrong; kinds %v",
		s.checked, s.walked, s.deepest, s.signals, s.switches, s.end, s.none, s.inexpressible, s.imprecise, s.wrong, s.kinds)
	return ended
}
