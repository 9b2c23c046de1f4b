// Package plan knows the benchmarks and runs them: a table of what there is,
// a selection by suite, component or name, and a runner that keeps only the
// services a benchmark needs alive, one benchmark at a time.
//
// A caller implements [Observer] to learn which phase of which benchmark is
// running in which process, and [Sink] to keep what comes out. This package
// writes no files.
package plan
