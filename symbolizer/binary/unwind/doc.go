// Package unwind says, for each address of a binary's code, how to get from a
// frame on the stack to its caller, and walks stacks by it.
//
// A binary enters as a *binary.File. Compile reads what compilers leave in it,
// the call frame information of .eh_frame or .debug_frame (DWARF 5, section 6.4;
// LSB 5.0, chapter 10.6) and the stack depths in Go's function table, and makes a
// Table of rows of 8 bytes out of it, sorted by address. A row says where the
// caller's stack pointer, frame pointer and return address are, in the few forms
// that practically all code uses; what does not fit is a Wide rule of 16 bytes
// that the row points to; what neither can say is counted.
//
// Rows and wide rules have the same layout in memory as the C structs of the
// walker that runs in the kernel, so a Table is handed to it as it is. Walk
// follows the same rules over a copy of a stack.
//
// Binaries and stacks belong to the processes under observation, so every byte
// of them may be a lie. Work and memory are bounded; a damaged table is an error
// or costs frames, never a panic.
package unwind
