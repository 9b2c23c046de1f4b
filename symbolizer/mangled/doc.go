// Package mangled makes the names of C++ and of Rust's older kind readable, the common
// forms of them: what a demangler for all forms spends most of its time on is building
// trees for names of which only a text is wanted.
//
// A [Reader] writes the text while it reads, and remembers which parts of it the name
// may refer back to. [Reader.Append] refuses what it does not know, such as expressions,
// arrays and most forms that are not yet ten years old, and names that make no sense:
// those are for a complete demangler. What it does not refuse is the same, byte for byte,
// as github.com/ianlancetaylor/demangle has it.
//
// The grammar is that of the Itanium C++ ABI, chapter 5.1.
package mangled
