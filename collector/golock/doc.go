// Package golock tells where goroutines of unmodified Go programs wait, and who lets them go
// on: mutexes, wait groups, channels, select.
//
// [Open] loads the programs (bpf/golock.bpf.c). [Watcher.Attach] is told of processes; those
// that Go 1.20 or later linked, stripped or not, get two uprobes, at runtime.gopark and at
// runtime.ready, never one at a return: that crashes Go programs. The functions are found
// by the table that Go's runtime names its own code by, and package probesite chooses the
// byte. Waits then arrive in the core's ring buffer as [Event]s, which name their stacks by
// ID as waits of threads do (package wait).
//
// A wait ends when the goroutine is made ready, not when it runs again: so does Go's own
// block profile measure it. Waits that are no lock's (for network, timers, garbage
// collection) are not recorded; the numbers of the reasons differ between versions of Go,
// so that they are read from the process. Probes cost the process time with each
// park and each wake-up, whatever is recorded of them; [Limit] bounds that, and a process of
// which it would be exceeded loses its probes and is reported.
package golock
