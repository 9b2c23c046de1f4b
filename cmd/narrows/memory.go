package main

import (
	"os"
	"runtime/debug"
)

// memoryLimit is beyond which the garbage collector works harder, in bytes: the whole
// of Narrows stays within 100 MB while it records, and 55 of that are maps that it
// shares with the kernel, and its own code.
const memoryLimit = 28 << 20

// boundMemory is called by commands that run beside what they measure. Who sets
// GOMEMLIMIT knows better.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
