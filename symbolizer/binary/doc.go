// Package binary reads what naming an address needs from an ELF file: its
// identity, its executable segments, its function symbols, and the tables a Go
// linker leaves behind.
//
// Bytes enter through an io.ReaderAt and a size, never through a path, so that
// whoever is allowed to open files can be somebody else. Names, lines and
// segments leave as plain values. Addresses are always ELF virtual addresses as
// they stand in the file, the ones addr2line takes.
//
// The files read here belong to the processes under observation, so every byte
// of them may be a lie. Each count and size is compared with the file's size and
// with a limit before anything is allocated for it, strings end at a limit, and
// work per lookup is bounded. A damaged table costs names, never a panic, and
// never a wrong name that a check could have refused.
//
// The package imports nothing else of this module; the part that runs with
// privileges may import it too.
package binary
