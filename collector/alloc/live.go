package alloc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/bpf"
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

// Live gives all blocks that live. No CPU misses a tick for it: it is one file that is read.
func (w *Watcher) Live(each func(Block)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading what lives: %w", err)
		}
	}()
	iterator, err := link.AttachIter(link.IterOptions{Program: w.objects.ReadBlocks, Map: w.objects.AllocBlocks})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, iterator.Close()) }()
	file, err := iterator.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	records := bufio.NewReaderSize(file, 64<<10)
	for {
		var raw bpf.AllocAllocRecord
		record := unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))
		switch _, err := io.ReadFull(records, record); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if b, ok := w.block(&raw); ok {
			each(b)
		}
	}
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
