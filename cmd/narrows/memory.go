package main

import (
	"os"
	"runtime/debug"
)

// The limits beyond which the garbage collector works harder, in bytes. What judges sessions
// takes them in parts, and stays below 100 MB. While recording, windows with waits of a busy
// machine keep up to 100 MB; with a limit below what they keep the collector would hardly do
// anything else, and take a third of the machine.
const (
	judgingLimit   = 72 << 20
	recordingLimit = 104 << 20
)

// boundMemory is called by commands that judge what was recorded, boundRecording by those that
// run beside what they measure. Who sets GOMEMLIMIT knows better.
func boundMemory() { setMemoryLimit(judgingLimit) }

func boundRecording() { setMemoryLimit(recordingLimit) }

func setMemoryLimit(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}
