package unwind

import (
	"bytes"
	"encoding/binary"
)

// goPrologueX86 finds in the code around a function's first change of the stack
// pointer, which is done at the address done and makes it depth bytes, where the
// frame pointer is saved. Since Go 1.21 that is
//
//	push %rbp; mov %rsp, %rbp; sub $n, %rsp
//
// and before it was
//
//	sub $n, %rsp; mov %rbp, n-8(%rsp); lea n-8(%rsp), %rbp
//
// The frame pointer is saved below the return address in both. Assembly that
// does neither keeps the caller's in its register (cmd/internal/obj/x86/obj6.go).
// The code begins goPrologueBefore bytes before done, or at the function's entry.
func goPrologueX86(code []byte, before int, done uint64, depth int32) (f goFrame) {
	f.offset, f.distance = -16, 16
	rest := code[before:]
	if depth == 8 && before > 0 && code[before-1] == 0x55 {
		f.saved = done
		switch {
		case bytes.HasPrefix(rest, []byte{0x48, 0x89, 0xe5}): // mov %rsp, %rbp
			f.own = done + 3
		case bytes.HasPrefix(rest, []byte{0x48, 0x8d, 0x2c, 0x24}): // lea (%rsp), %rbp
			f.own = done + 4
		}
		return f
	}
	if n := atSP(rest, 0x89, depth-8); n > 0 {
		f.saved, f.moved = done+uint64(n), true
		if m := atSP(rest[n:], 0x8d, depth-8); m > 0 {
			f.own = f.saved + uint64(m)
		}
	}
	return f
}

// goReleaseX86 returns the length of the instruction that the code ends with and
// that gives up a frame at once, as Go before 1.21 does: add $n, %rsp. The frame
// pointer was restored before it.
func goReleaseX86(code []byte) int {
	n := len(code)
	switch {
	case n >= 4 && code[n-4] == 0x48 && code[n-3] == 0x83: // an 8-bit number
		return 4
	case n >= 7 && code[n-7] == 0x48 && code[n-6] == 0x81:
		return 7
	}
	return 0
}

// atSP returns the length of the instruction op between %rbp and the memory at
// offset(%rsp) that code begins with, 0 if it begins with another.
func atSP(code []byte, op byte, offset int32) int {
	if len(code) < 4 || code[0] != 0x48 || code[1] != op || code[3] != 0x24 {
		return 0
	}
	switch {
	case code[2] == 0x2c && offset == 0:
		return 4
	case code[2] == 0x6c && len(code) >= 5 && int32(int8(code[4])) == offset:
		return 5
	case code[2] == 0xac && len(code) >= 8 && int32(binary.LittleEndian.Uint32(code[4:])) == offset:
		return 8
	}
	return 0
}

// writesSPX86 returns an offset before which the stack pointer is not set to
// something else, and behind which it is: within the first instruction to do so.
// What looks like one in the bytes is taken for one, because the few functions
// that this is asked about are short.
func writesSPX86(code []byte) (int, bool) {
	for i := 0; i+3 <= len(code); i++ {
		if code[i]&^0x07 != 0x48 { // REX.W, the extended register not being SP
			continue
		}
		op, modrm := code[i+1], code[i+2]
		toSP := code[i]&0x04 == 0 && modrm>>3&7 == 4
		ofSP := code[i]&0x01 == 0 && modrm&0xc7 == 0xc4
		switch {
		case op == 0x8b && toSP, op == 0x8d && toSP, // mov, lea
			op == 0x89 && ofSP,                    // mov
			op == 0x87 && (ofSP || toSP),          // xchg
			op == 0x83 && ofSP && modrm>>3&7 == 4, // and
			op == 0x81 && ofSP && modrm>>3&7 == 4:
			return i + 1, true
		}
	}
	return 0, false
}

// goPrologueARM64 does the same for arm64, where the return address is at the
// bottom of the frame and the frame pointer in the word below it
// (cmd/internal/obj/arm64/obj7.go):
//
//	str x30, [sp, #-n]!; stur x29, [sp, #-8]; sub x29, sp, #8
//
// or, if the frame is large,
//
//	sub x20, sp, #n; stp x29, x30, [x20, #-8]; mov sp, x20; sub x29, sp, #8
func goPrologueARM64(code []byte, before int, done uint64, depth int32) (f goFrame) {
	f.offset, f.distance = -int64(depth)-8, int64(depth)+8
	instruction := func(i int) uint32 {
		if i < 0 || i+4 > len(code) {
			return 0
		}
		return binary.LittleEndian.Uint32(code[i:])
	}
	const (
		storeLR  = 0xf8000ffe // str x30, [sp, #imm]!
		storeFP  = 0xf81f83fd // stur x29, [sp, #-8]
		storeTwo = 0xa93ffa9d // stp x29, x30, [x20, #-8]
		setSP    = 0x9100029f // mov sp, x20
		setFP    = 0xd10023fd // sub x29, sp, #8
	)
	next := before
	switch last := instruction(before - 4); {
	case last&0xffe00fff == storeLR && instruction(before) == storeFP:
		next += 4
		f.saved = done + 4
	case last == setSP && instruction(before-8) == storeTwo:
		f.saved = done
	default:
		// Whether the return address was saved is not known.
		f.lost = done
		return f
	}
	if instruction(next) == setFP {
		f.own = done + uint64(next-before) + 4
	}
	return f
}

// writesSPARM64 does the same for arm64: mov sp, xN.
func writesSPARM64(code []byte) (int, bool) {
	for i := 0; i+4 <= len(code); i += 4 {
		if in := binary.LittleEndian.Uint32(code[i:]); in&0xfffffc1f == 0x9100001f && in>>5&31 != 31 {
			return i + 4, true
		}
	}
	return 0, false
}
