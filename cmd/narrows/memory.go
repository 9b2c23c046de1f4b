package main

import (
	"os"
	"runtime/debug"
)

// memoryLimit is beyond which the garbage collector works harder, in bytes. Windows with
// waits keep 40 to 70 MB on a busy machine. With a limit below that the collector hardly does
// anything else, and takes a third of the machine.
const memoryLimit = 80 << 20

// boundMemory is called by commands that run beside what they measure. Who sets
// GOMEMLIMIT knows better.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
