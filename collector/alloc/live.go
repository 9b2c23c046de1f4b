package alloc

import (
	"fmt"

	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/window"
)

// Block is memory that was allocated, was taken, and has not been freed: by the end of the
// recording, of its process, or of the time in which that had probes.
type Block struct {
	Stack  window.StackID
	Time   uint64 // when it was allocated, in ns of CLOCK_MONOTONIC
	Size   uint64
	PID    uint32
	TID    uint32
	Target uint32
}

// Live gives all blocks that live.
func (w *Watcher) Live(each func(Block)) error {
	err := core.Iterate(link.IterOptions{Program: w.objects.ReadBlocks, Map: w.objects.AllocBlocks}, core.EachRecord(func(raw *bpf.AllocAllocRecord) {
		if b, ok := w.block(raw); ok {
			each(b)
		}
	}))
	if err != nil {
		return fmt.Errorf("reading what lives: %w", err)
	}
	return nil
}

func (w *Watcher) block(raw *bpf.AllocAllocRecord) (Block, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	number := raw.Block.Target
	if int(number) >= len(w.numbered) || w.numbered[number].replaced {
		return Block{}, false
	}
	return Block{
		Stack: window.StackID{raw.Live.Stack.Low, raw.Live.Stack.High}, Time: raw.Live.Time, Size: raw.Live.Size,
		PID: w.numbered[number].PID, TID: raw.Live.Tid, Target: number,
	}, true
}
