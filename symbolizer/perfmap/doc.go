// Package perfmap names code that a program made while it ran, by the list of it
// that the program writes: /tmp/perf-PID.map, as Node (--perf-basic-prof) and agents
// of the JVM and other runtimes do. Each line is an address and a size in
// hexadecimal and a name (tools/perf/Documentation/jit-interface.txt).
//
// Text enters through [Table.Read], what was appended since the last call each time,
// with the time of reading; names leave by [Table.Lookup], for an address at a time.
// Such programs move code and put other code in its place, and the list says only in
// which order: so each entry is known to have been written between two readings, and
// an address for which that leaves two names open has none.
//
// The text is whatever the program under observation wrote. Sizes are bounded, lines
// that make no sense are counted and left out.
package perfmap
