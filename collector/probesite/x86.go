package probesite

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// maxPrologue is how many instructions are looked at for a site.
const maxPrologue = 24

var (
	endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}
	nop5    = []byte{0x0f, 0x1f, 0x44, 0x00, 0x00}
)

// decodeX86 decodes a function of x86-64.
func decodeX86(f Function) prologue {
	p := prologue{end: "the function ends"}
	straight, branched, check := true, false, -1
	var before x86asm.Inst
	for at := 0; at < len(f.Code); {
		code := f.Code[at:]
		inst, err := decodeOneX86(code)
		if err != nil || inst.Len <= 0 || inst.Len > len(code) {
			p.undecoded = true
			if straight {
				p.end = "an unknown instruction"
			}
			break
		}
		if target, ok := targetX86(inst, at); ok {
			p.targets = append(p.targets, target)
		}
		if straight {
			if isStackCheck(before, inst) {
				check = at
			}
			p.candidates = append(p.candidates, candidate{
				Site:   Site{Offset: at, Price: priceX86(code[:inst.Len]), Instruction: describeX86(code, inst), AfterBranch: branched},
				inside: at > 0 && !(at == len(endbr64) && bytes.HasPrefix(f.Code, endbr64)),
			})
			straight, p.end = goesOnX86(inst, f.Keep)
			branched = branched || isConditionalX86(inst) && check != at
			if len(p.candidates) == maxPrologue {
				straight, p.end = false, "more is not looked at"
			}
		}
		before = inst
		at += inst.Len
	}
	p.repeatUntil(check)
	return p
}

func decodeOneX86(code []byte) (x86asm.Inst, error) {
	if bytes.HasPrefix(code, endbr64) {
		return x86asm.Inst{Op: x86asm.NOP, Len: len(endbr64), Mode: 64}, nil
	}
	return x86asm.Decode(code, 64)
}

func describeX86(code []byte, inst x86asm.Inst) string {
	if bytes.HasPrefix(code, endbr64) {
		return "endbr64"
	}
	text := strings.ToLower(x86asm.IntelSyntax(inst, 0, nil))
	name, _, _ := strings.Cut(text, " ") // where it jumps to is of no interest
	if _, ok := targetX86(inst, 0); ok {
		return name
	}
	return text
}

// priceX86 is what the kernel does with the instruction: branch_setup_ops and push_setup_ops
// in arch/x86/kernel/uprobes.c.
func priceX86(code []byte) Price {
	if bytes.Equal(code, nop5) {
		return Nop5
	}
	switch first := code[0]; {
	case first == 0x90 && len(code) == 1, // nop
		first >= 0x50 && first <= 0x57 && len(code) == 1,                                                     // push
		first == 0x41 && len(code) == 2 && code[1] >= 0x50 && code[1] <= 0x57,                                // push r8 to r15
		first >= 0x70 && first <= 0x7f, first == 0x0f && len(code) > 1 && code[1] >= 0x80 && code[1] <= 0x8f, // jcc
		first == 0xeb, first == 0xe9, first == 0xe8: // jmp, call
		return Emulated
	}
	return Stepped
}

// targetX86 is where an instruction jumps to within the function.
func targetX86(inst x86asm.Inst, at int) (int, bool) {
	if inst.Op == x86asm.CALL {
		return 0, false
	}
	if relative, ok := inst.Args[0].(x86asm.Rel); ok {
		return at + inst.Len + int(relative), true
	}
	return 0, false
}

func isConditionalX86(inst x86asm.Inst) bool {
	_, relative := inst.Args[0].(x86asm.Rel)
	return relative && inst.Op != x86asm.CALL && inst.Op != x86asm.JMP
}

// isStackCheck tells whether the jump goes where Go's stack grows: a comparison with the
// word behind the goroutine's stack guard, then jbe. The function then begins again.
func isStackCheck(before, jump x86asm.Inst) bool {
	if before.Op != x86asm.CMP || jump.Op != x86asm.JBE {
		return false
	}
	guard, ok := before.Args[1].(x86asm.Mem)
	return ok && guard.Base == x86asm.R14 && guard.Disp == 0x10
}

// goesOnX86 tells whether the instruction behind this one is reached with the registers
// as they were, else why not.
func goesOnX86(inst x86asm.Inst, keep []string) (bool, string) {
	switch inst.Op {
	case x86asm.NOP, x86asm.CMP, x86asm.TEST:
		return true, ""
	case x86asm.PUSH:
		if slices.Contains(keep, "rsp") {
			return false, "behind push the stack pointer is another"
		}
		return true, ""
	case x86asm.MOV, x86asm.LEA, x86asm.ADD, x86asm.SUB, x86asm.AND, x86asm.OR, x86asm.XOR, x86asm.SHL, x86asm.SHR, x86asm.SAR,
		x86asm.MOVZX, x86asm.MOVSX, x86asm.MOVSXD, x86asm.INC, x86asm.DEC, x86asm.NEG, x86asm.NOT:
		written, ok := inst.Args[0].(x86asm.Reg)
		if ok && slices.Contains(keep, wholeX86(written)) {
			return false, "behind " + strings.ToLower(inst.Op.String()) + " an argument is overwritten"
		}
		return true, ""
	case x86asm.MOVUPS, x86asm.MOVAPS, x86asm.XORPS, x86asm.PXOR, x86asm.MOVDQA, x86asm.MOVDQU:
		return true, ""
	}
	if isConditionalX86(inst) {
		return true, ""
	}
	return false, "behind " + strings.ToLower(inst.Op.String()) + " other code may have run"
}

// wholeX86 is the name of the 64-bit register that this one is part of.
func wholeX86(r x86asm.Reg) string {
	names := [...]string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}
	switch {
	case r >= x86asm.RAX && r <= x86asm.R15:
		return names[r-x86asm.RAX]
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return names[r-x86asm.EAX]
	case r >= x86asm.AX && r <= x86asm.R15W:
		return names[r-x86asm.AX]
	case r >= x86asm.AH && r <= x86asm.BH:
		return names[r-x86asm.AH]
	case r >= x86asm.AL && r <= x86asm.BL:
		return names[r-x86asm.AL]
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return names[4+r-x86asm.SPB]
	}
	return ""
}
