package main

import (
	"os"
	"runtime/debug"
)

// memoryLimit is beyond which the garbage collector works harder, in bytes: the whole
// of Narrows stays within 100 MB while it records, and some of that is not the heap.
const memoryLimit = 60 << 20

// boundMemory is called by commands that run beside what they measure. Who sets
// GOMEMLIMIT knows better.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
