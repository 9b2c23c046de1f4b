// Package sum adds pprof profiles up without holding them: a recording's windows
// may have millions of frames in hundreds of thousands of distinct stacks, which
// github.com/google/pprof/profile keeps as pointers, several copies while it
// merges.
//
// Uncompressed profiles enter one after the other, twice. [Of] reads the tables
// of functions, locations and mappings, and keeps those; of each distinct stack
// it keeps a hash, its values, and where it was seen first. [Sum.Write] reads
// the profiles again and copies each distinct stack from where it was seen first,
// with its sum. What comes out is what profile.Merge makes of the same profiles.
//
// The tables, and everything else that is not a sample, are read and written by
// the profile package itself; the samples are read and written here, by the
// layout of profile.proto in the same repository.
package sum
