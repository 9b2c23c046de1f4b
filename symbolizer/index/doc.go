// Package index keeps what is known about the code of a binary in one compact
// file, from which an address is named without reading the binary again.
//
// Ranges of code enter a [Builder], functions, files, lines and inlining
// included; its image is the file's content. [Open] reads one through an
// io.ReaderAt: the head at once, everything else in blocks of 4 KiB when a
// lookup needs them, a few of which are kept. [Index.Find], [Index.Stack] and
// [Index.Function] give the answers. An index is of all code of a binary, or, where
// that would take too long to make, a partial one of the addresses that were asked
// for so far. [Folder] keeps the files of many binaries,
// by build ID and by what they were made from, within a bound of bytes.
//
// # The file
//
// All numbers are little-endian. The head fills whole blocks; the sections
// follow in this order, each padded with zeros to whole blocks.
//
//	head       fixed part (format.go), build ID, source, first address of each
//	           block of ranges, CRC-32C of each block of the sections
//	ranges     8 bytes: start of the code relative to a base address, node;
//	           ascending, each reaching to the next; node 2^32-1 is nobody's code,
//	           2^32-2 code of which a partial index knows nothing
//	nodes      12 bytes: function, line, node of the caller it was inlined into
//	           (2^32-1 for none); a caller has a smaller number than its callee
//	functions  16 bytes: offsets of the system name, the name and the file among
//	           the strings; starting line, with the source in its top 4 bits
//	strings    a length as a varint, then the bytes; offset 0 is the empty string
//
// # What is trusted
//
// Nothing. The head and each block must match their checksums, counts and
// offsets are compared with what the file has, callers lie below their callees so
// that a chain ends. A file that is cut short, damaged or forged gives an error
// that wraps [ErrDamaged], never a panic; whoever owns it builds it anew. What
// checksums cannot tell is a forgery by whoever may write the folder, so Folder
// refuses one that others may write.
package index
