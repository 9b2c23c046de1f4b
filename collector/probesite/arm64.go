package probesite

import (
	"slices"
	"strings"

	"golang.org/x/arch/arm64/arm64asm"
)

// decodeARM64 decodes a function of 64-bit ARM.
func decodeARM64(f Function) prologue {
	p := prologue{end: "the function ends"}
	straight, branched, check := true, false, -1
	var before [2]arm64asm.Inst
	for at := 0; at+4 <= len(f.Code); at += 4 {
		inst, err := arm64asm.Decode(f.Code[at : at+4])
		if err != nil {
			// All instructions are as long, so that the next one is where it should be. What
			// is unknown is no branch: those are all known.
			if straight {
				straight, p.end = false, "an unknown instruction"
			}
			continue
		}
		if target, ok := targetARM64(inst, at); ok {
			p.targets = append(p.targets, target)
		}
		if straight {
			isCheck := isStackCheckARM64(before, inst)
			if isCheck {
				check = at
			}
			p.candidates = append(p.candidates, candidate{
				Site:   Site{Offset: at, Price: priceARM64(inst), Instruction: strings.ToLower(inst.Op.String()), AfterBranch: branched},
				inside: at > 0,
			})
			straight, p.end = goesOnARM64(inst, f.Keep)
			branched = branched || isConditionalARM64(inst) && !isCheck
			if len(p.candidates) == maxPrologue {
				straight, p.end = false, "more is not looked at"
			}
		}
		before[0], before[1] = before[1], inst
	}
	p.repeatUntil(check)
	return p
}

// priceARM64 is what the kernel does with the instruction: arm_probe_decode_insn in
// arch/arm64/kernel/probes/decode-insn.c simulates what depends on where it is.
func priceARM64(inst arm64asm.Inst) Price {
	switch inst.Op {
	case arm64asm.B, arm64asm.BL, arm64asm.BR, arm64asm.BLR, arm64asm.RET, arm64asm.CBZ, arm64asm.CBNZ, arm64asm.TBZ, arm64asm.TBNZ,
		arm64asm.ADR, arm64asm.ADRP:
		return Emulated
	}
	return Stepped
}

func targetARM64(inst arm64asm.Inst, at int) (int, bool) {
	switch inst.Op {
	case arm64asm.B, arm64asm.CBZ, arm64asm.CBNZ, arm64asm.TBZ, arm64asm.TBNZ:
	default:
		return 0, false
	}
	for _, arg := range inst.Args {
		if relative, ok := arg.(arm64asm.PCRel); ok {
			return at + int(relative), true
		}
	}
	return 0, false
}

func isConditionalARM64(inst arm64asm.Inst) bool {
	switch inst.Op {
	case arm64asm.CBZ, arm64asm.CBNZ, arm64asm.TBZ, arm64asm.TBNZ:
		return true
	case arm64asm.B:
		_, conditional := inst.Args[0].(arm64asm.Cond)
		return conditional
	}
	return false
}

// isStackCheckARM64 tells whether the branch goes where Go's stack grows: the word behind
// the goroutine's stack guard is loaded into x16, and compared.
func isStackCheckARM64(before [2]arm64asm.Inst, branch arm64asm.Inst) bool {
	loaded, ok := before[0].Args[0].(arm64asm.Reg)
	return ok && before[0].Op == arm64asm.LDR && loaded == arm64asm.X16 && before[1].Op == arm64asm.CMP && isConditionalARM64(branch)
}

// goesOnARM64 tells whether the instruction behind this one is reached with the registers
// as they were, else why not.
func goesOnARM64(inst arm64asm.Inst, keep []string) (bool, string) {
	switch inst.Op {
	case arm64asm.NOP, arm64asm.HINT, arm64asm.CMP, arm64asm.TST, arm64asm.STR, arm64asm.STP, arm64asm.STRB, arm64asm.STRH:
		return true, ""
	case arm64asm.LDR, arm64asm.LDRB, arm64asm.LDRH, arm64asm.MOV, arm64asm.MOVZ, arm64asm.ADD, arm64asm.SUB, arm64asm.AND, arm64asm.ORR,
		arm64asm.EOR, arm64asm.ADR, arm64asm.ADRP:
		if slices.Contains(keep, wholeARM64(inst.Args[0])) {
			return false, "behind " + strings.ToLower(inst.Op.String()) + " an argument is overwritten"
		}
		return true, ""
	}
	if isConditionalARM64(inst) {
		return true, ""
	}
	return false, "behind " + strings.ToLower(inst.Op.String()) + " other code may have run"
}

// wholeARM64 is the name of the 64-bit register that an operand is part of.
func wholeARM64(arg arm64asm.Arg) string {
	name := strings.ToLower(arg.String())
	if number, ok := strings.CutPrefix(name, "w"); ok && number != "sp" && number != "zr" {
		return "x" + number
	}
	return name
}
