package probesite

import (
	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"
)

// Exit is an instruction by which a function goes to another one.
type Exit struct {
	To   uint64
	Call bool // it comes back
}

// Exits are the direct calls of a function at an address, and its jumps out of itself: behind those
// the other function returns to the caller, as if that one had called it. Code that cannot be
// decoded ends them.
func Exits(architecture string, code []byte, address uint64) []Exit {
	var exits []Exit
	add := func(at int, relative int64, call bool) {
		to := address + uint64(int64(at)+relative)
		if call || to < address || to >= address+uint64(len(code)) {
			exits = append(exits, Exit{to, call})
		}
	}
	switch architecture {
	case "amd64":
		for at := 0; at < len(code); {
			inst, err := decodeOneX86(code[at:])
			if err != nil || inst.Len <= 0 || inst.Len > len(code)-at {
				break
			}
			at += inst.Len
			if relative, ok := inst.Args[0].(x86asm.Rel); ok {
				add(at, int64(relative), inst.Op == x86asm.CALL)
			}
		}
	case "arm64":
		for at := 0; at+4 <= len(code); at += 4 {
			inst, err := arm64asm.Decode(code[at : at+4])
			if err != nil || inst.Op != arm64asm.B && inst.Op != arm64asm.BL {
				continue
			}
			for _, arg := range inst.Args {
				if relative, ok := arg.(arm64asm.PCRel); ok {
					add(at, int64(relative), inst.Op == arm64asm.BL)
				}
			}
		}
	}
	return exits
}
