package unwind

// Registers are a thread's, by their DWARF numbers (System V x86-64 ABI, figure 3.36).
type Registers [16]uint64

// registers reads them from the words of struct user_registers in bpf/kernel.h.
func registers(word func(int) uint64) Registers {
	const r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, sp = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 19
	var r Registers
	for number, at := range [...]int{ax, dx, cx, bx, si, di, bp, sp, r8, r9, r10, r11, r12, r13, r14, r15} {
		r[number] = word(at)
	}
	return r
}
