// Package symbolizer names the frames of profiles.
//
// A profile enters as a *profile.Profile whose locations have addresses,
// mappings and build IDs but no functions, and leaves as the same profile with
// functions, files, lines and inlined frames wherever the binaries know them.
// Bytes of binaries enter through the Binaries interface, opened by whoever may
// open them; this package never opens a path, so it needs no privileges and can
// name a profile that was taken on another host.
//
// # What a profile says
//
// A location's place in its binary is the file offset Address - Start + Offset
// of its Mapping. With Start the virtual address and Offset the file offset of
// an executable segment, which is how this project's profiles are written,
// Address is the ELF virtual address itself; the run-time addresses of other
// profilers work as well. Addresses of callers are expected to be return
// addresses minus one, so that they lie within the call.
//
// Kernel locations hang on a Mapping whose File is KernelMapping, with absolute
// addresses. The vDSO is a Mapping like any other.
//
// # What names look like
//
// A function's SystemName is the name as the binary or the kernel has it, its
// Name the one for people: C++ and Rust names demangled in full, symbol
// versions cut off, type arguments of Go functions shown as [...] as Go itself
// prints them, kernel functions of modules followed by the module in brackets.
// A frame without a known function is named [basename+0xADDRESS] after its
// binary and the ELF virtual address as addr2line takes it, or [unknown] where
// there is no mapping or one without a file. It is never named after the
// nearest function.
package symbolizer
