package goheap

import (
	"encoding/binary"

	"golang.org/x/arch/x86/x86asm"
)

// use is how an instruction uses a variable.
type use int

const (
	load4 use = iota
	load8
	store8
)

// The machines whose code is read, as ELF numbers them.
const (
	machineX86   = 62
	machineARM64 = 183
)

// uses are the addresses of variables that some code, which is at an address, uses in a
// way. It ends where there is something that cannot be decoded.
func uses(machine uint16, code []byte, at uint64, wanted use) map[uint64]bool {
	found := map[uint64]bool{}
	yield := func(u use, address uint64) {
		if u == wanted {
			found[address] = true
		}
	}
	switch machine {
	case machineX86:
		usesX86(code, at, yield)
	case machineARM64:
		usesARM64(code, at, yield)
	}
	return found
}

// usesX86 finds moves whose operand is relative to the instruction pointer.
func usesX86(code []byte, at uint64, yield func(use, uint64)) {
	for i := 0; i < len(code); {
		inst, err := x86asm.Decode(code[i:], 64)
		if err != nil || inst.Len <= 0 {
			return
		}
		i += inst.Len
		if inst.Op != x86asm.MOV {
			continue
		}
		if m, ok := inst.Args[1].(x86asm.Mem); ok && m.Base == x86asm.RIP {
			switch inst.MemBytes {
			case 4:
				yield(load4, at+uint64(i)+uint64(m.Disp))
			case 8:
				yield(load8, at+uint64(i)+uint64(m.Disp))
			}
		}
		if m, ok := inst.Args[0].(x86asm.Mem); ok && m.Base == x86asm.RIP && inst.MemBytes == 8 {
			yield(store8, at+uint64(i)+uint64(m.Disp))
		}
	}
}

// usesARM64 finds loads and stores through a register into which the instructions before
// put the address: adrp, and add or the offset of the load itself. Encodings: Arm ARM, C6.2.
func usesARM64(code []byte, at uint64, yield func(use, uint64)) {
	var known [32]bool
	var held [32]uint64 // addresses in registers
	for i := 0; i+4 <= len(code); i += 4 {
		word := binary.LittleEndian.Uint32(code[i:])
		to, from := word&31, word>>5&31
		offset := uint64(word >> 10 & 0xfff)
		switch {
		case word&0x9f000000 == 0x90000000: // adrp
			pages := int64(word>>29&3) | int64(int32(word<<8)>>13)<<2
			known[to], held[to] = true, (at+uint64(i))&^0xfff+uint64(pages<<12)
			continue
		case word>>22 == 0x244 && known[from]: // add, of 64 bits, an immediate
			known[to], held[to] = true, held[from]+offset
			continue
		case !known[from]:
		case word>>22 == 0x2e5: // ldr, of 32 bits
			yield(load4, held[from]+4*offset)
		case word>>22 == 0x3e5: // ldr, of 64 bits
			yield(load8, held[from]+8*offset)
		case word>>22 == 0x3e4: // str, of 64 bits
			yield(store8, held[from]+8*offset)
		case word&0xfffffc00 == 0x88dffc00: // ldar, of 32 bits
			yield(load4, held[from])
		case word&0xfffffc00 == 0xc8dffc00: // ldar, of 64 bits
			yield(load8, held[from])
		}
		known[to] = false // most instructions write it
	}
}
