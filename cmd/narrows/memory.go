package main

import (
	"os"
	"runtime/debug"
)

// memoryLimit is beyond which the garbage collector works harder, in bytes. The whole of
// Narrows is to stay within 100 MB while it records, of which 55 are maps that it shares
// with the kernel, and its own code. A limit that leaves 45 would be below what windows
// with waits keep on a busy machine, and the collector would hardly do anything else.
const memoryLimit = 48 << 20

// boundMemory is called by commands that run beside what they measure. Who sets
// GOMEMLIMIT knows better.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
