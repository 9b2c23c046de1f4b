package unwind

// Registers are a thread's, by their DWARF numbers (DWARF for the Arm 64-bit
// architecture, 4.1): x0 to x30, and SP.
type Registers [32]uint64

// registers reads them from the words of struct user_registers in bpf/kernel.h.
func registers(word func(int) uint64) Registers {
	var r Registers
	for number := range r {
		r[number] = word(number)
	}
	return r
}
