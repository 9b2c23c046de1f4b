package kernelalloc

import (
	"fmt"

	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
)

// Live gives all memory that was taken down and has not been freed, and says of how much the
// freeing was not seen: the cache has given its page back.
func (w *Watcher) Live(each func(Block)) (freed uint64, err error) {
	seen := map[uint64]bool{} // while others are freed, the kernel may begin a part of the table again
	err = core.Iterate(link.IterOptions{Program: w.objects.ReadKernelAllocs, Map: w.objects.KernelAllocBlocks},
		core.EachRecord(func(raw *bpf.KernelAllocKernelAllocRecord) {
			if seen[raw.Address] {
				return
			}
			seen[raw.Address] = true
			if raw.Freed != 0 {
				freed++
				return
			}
			each(block(&raw.Live))
		}))
	if err != nil {
		return 0, fmt.Errorf("reading which memory of the kernel lives: %w", err)
	}
	return freed, nil
}
