// Package dwarf reads from a binary's DWARF (versions 2 to 5) which functions,
// inlined ones included, and which source lines its code was made of.
//
// Sections enter through a *binary.File, the binary itself or its separate debug
// file; scopes, files and lines leave by [Data.Lookup] for one address and by
// [Data.Ranges] for all. Opening reads no more than the root of each unit of
// compilation, where it says which code is its. A unit is read when an address in
// it is asked for, whole and once, into compact sorted tables that are kept under a
// bound of memory; names are read when they are asked for.
//
// .debug_aranges is not used: some compilers leave it out, others leave units out
// of it, and the roots say the same.
//
// Debug information in .dwo files is not followed: units whose functions are there
// still have their lines here, and are counted. Names in a supplementary file
// (.gnu_debugaltlink, made by dwz) are, if it is given by [Data.SetSupplement]. If not,
// an inlined function whose name is there is left out, its code taken for that of the
// line that calls it, and counted.
//
// Files are hostile input: see package binary. A unit that contradicts itself costs
// its own names and is counted.
package dwarf
