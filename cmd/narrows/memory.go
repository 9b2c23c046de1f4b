package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// The limits beyond which the garbage collector works harder, in bytes. What judges sessions
// takes them in parts, and stays below 100 MB. While recording, windows with waits of a busy
// machine keep up to 100 MB; with a limit below what they keep the collector would hardly do
// anything else, and take a third of the machine.
const (
	judgingLimit   = 72 << 20
	recordingLimit = 104 << 20
)

// boundMemory is called by commands that judge what was recorded. Who sets GOMEMLIMIT knows
// better.
func boundMemory() {
	if !memoryIsBounded() {
		debug.SetMemoryLimit(judgingLimit)
	}
}

// boundRecording is called by commands that run beside what they measure. Where more is kept
// than was meant, on a host with many thousands of threads, the limit gives way to it. The
// function returned ends that.
func boundRecording() (end func()) {
	if memoryIsBounded() {
		return func() {}
	}
	debug.SetMemoryLimit(recordingLimit)
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		for every := time.NewTicker(time.Second); ; {
			select {
			case <-ctx.Done():
				every.Stop()
				return
			case <-every.C:
				debug.SetMemoryLimit(limitFor(liveBytes()))
			}
		}
	})
	return func() {
		cancel()
		following.Wait()
	}
}

// limitFor leaves room for garbage, half of what is none.
func limitFor(live uint64) int64 { return max(recordingLimit, int64(live+live/2)) }

// liveBytes is what the last garbage collection left.
func liveBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func memoryIsBounded() bool { return os.Getenv("GOMEMLIMIT") != "" }
