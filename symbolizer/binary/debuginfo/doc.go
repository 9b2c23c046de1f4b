// Package debuginfo answers for one binary which functions, files and lines the
// compiler made into the code at an address, whoever knows it: Go's own function
// table, DWARF, the symbol tables, the stubs of the procedure linkage table.
//
// Headers and bytes enter as *binary.File, of the binary itself and, where there
// is one, of the separate file that has its debug information. Answers leave in
// two shapes that agree with each other: [Table.Frames] for one address, and
// [Table.Ranges] for all of the code, from which an index can be built. Addresses
// are ELF virtual addresses as they stand in the file. Names are the binary's
// own, mangled as the linker sees them where the binary has that.
//
// The sources are asked in the order of how much they know: Go's table where it
// covers the address, then DWARF, then symbols, then stubs. No source is asked
// for what is nearest, so an address that none covers has no frames.
//
// Files are hostile input: see package binary. What one source got wrong costs
// its own answers only; [Table.Problems] tells.
package debuginfo
