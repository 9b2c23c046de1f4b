// Package unwind gives the walker in the kernel what it needs to follow any user
// stack to its root: the unwind tables of the files that are executed, and what each
// process has mapped.
//
// Lifecycle events enter in batches ([Tracker.Apply]), each of everything that
// happened before some moment; samples whose walk lacked something enter by
// [Tracker.Missing]. What is missing is then put into the maps that the walker
// reads: [Tables] compiles a file's rules on demand, keeps as many tables as their
// budget holds, shared by build ID, and puts out those not used for the longest time;
// the Tracker describes the mappings of a process, which forked children share.
//
// A sample whose walk lacked something is not lost. It carries a copy of its stack,
// and [Tables.Walk] continues there, with the mappings that the process had at that
// time.
//
// Nothing that a walk could be reading is changed: tables and mappings are written
// where nobody looks, then pointed to; what nobody points to any more is reused
// after an RCU grace period.
package unwind
