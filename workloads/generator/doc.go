// Package generator makes the load of a benchmark in a process of its own, so that
// what the load costs is that process's CPU time and nobody else's, its garbage is
// not collected together with a profiler's, and the runtime can be set up for it.
//
// [Command.Run] starts the process and is otherwise like the benchmark's own
// function; [Serve] is what the process does. The two speak over its standard input
// and output, in messages of encoding/gob: a job, and perhaps the wish to stop, go
// in; changes of phase with the time at which they happened, request records, and at
// last the document come out. Messages leave in batches, since each would wake the
// reader, and a reader that is slow does not hold the load back.
//
// The end of its input stops the load, and the kernel kills the process when the one
// that started it dies: none is left behind.
package generator
