package unwind

import "github.com/narrows-profiler/narrows/symbolizer/binary"

// An architecture is what differs between the machines: DWARF's numbers of
// registers (System V x86-64 psABI, figure 3.36; AADWARF64, 4.1), and where a
// signal frame keeps the interrupted registers, in bytes from the stack pointer
// at which a handler returns (struct rt_sigframe and ucontext in the kernel's
// arch/*/include/uapi/asm).
type architecture struct {
	sp, fp, ra uint8
	linked     bool // calls put the return address into a register, not on the stack
	signal     signalFrame
	// restorers are the codes that handlers return to.
	restorers []string
	// goPrologue and writesSP look into Go's code.
	goPrologue func(code []byte, before int, done uint64, depth int32) goFrame
	writesSP   func(code []byte) (at int, ok bool)
}

type signalFrame struct {
	fp, lr, sp, pc uint64
	// general are the offsets of the general registers, by DWARF's number; on
	// arm64 they are in order.
	general []uint64
}

// saved returns where a signal frame keeps a register.
func (a *architecture) saved(number uint8) (uint64, bool) {
	switch {
	case int(number) < len(a.signal.general):
		return a.signal.general[number], true
	case a.linked && number < 31:
		return a.signal.fp - 29*8 + uint64(number)*8, true
	}
	return 0, false
}

const (
	machineX86_64  = 62
	machineAArch64 = 183
)

var x86_64 = architecture{
	sp: 7, fp: 6, ra: 16,
	signal: signalFrame{fp: 120, sp: 160, pc: 168, general: []uint64{
		144, 136, 152, 128, 112, 104, 120, 160, // ax, dx, cx, bx, si, di, bp, sp
		40, 48, 56, 64, 72, 80, 88, 96, // r8 to r15
	}},
	restorers: []string{
		"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", // mov $15, %rax; syscall
		"\xb8\x0f\x00\x00\x00\x0f\x05",         // mov $15, %eax; syscall
	},
	goPrologue: goPrologueX86, writesSP: writesSPX86,
}

var aarch64 = architecture{
	sp: 31, fp: 29, ra: 30, linked: true,
	signal: signalFrame{fp: 544, lr: 552, sp: 560, pc: 568},
	restorers: []string{
		"\x68\x11\x80\xd2\x01\x00\x00\xd4", // mov x8, #139; svc #0
	},
	goPrologue: goPrologueARM64, writesSP: writesSPARM64,
}

// architectureOf returns nil for machines that are not supported.
func architectureOf(file *binary.File) *architecture {
	if !file.Wide() || file.ByteOrder().Uint16([]byte{1, 0}) != 1 {
		return nil
	}
	switch file.Machine() {
	case machineX86_64:
		return &x86_64
	case machineAArch64:
		return &aarch64
	}
	return nil
}
