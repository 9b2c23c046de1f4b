package main

import (
	"errors"
	"fmt"

	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
	"github.com/narrows-profiler/narrows/collector/alloc"
)

// kernelAllocFlags say whether the kernel's own allocations are recorded.
type kernelAllocFlags struct {
	KernelAlloc     bool   `help:"Record where the kernel allocates memory for itself, for which process, of which slab cache, and what it never frees: kernel-alloc.pb.gz. Each of its allocations takes longer for it."`
	KernelAllocRate uint64 `default:"65536" placeholder:"BYTES" help:"Record an allocation of the kernel for each so many bytes, on average; 1: every one."`
}

// mean is what the collector takes; 0 if the kernel's allocations are not recorded.
func (f kernelAllocFlags) mean() uint64 {
	if !f.KernelAlloc {
		return 0
	}
	return f.KernelAllocRate
}

// valid refuses what goes not together with allocations of the kernel.
func (f kernelAllocFlags) valid(output string) error {
	switch {
	case f.KernelAllocRate < 1 || f.KernelAllocRate > alloc.MaxMean:
		return fmt.Errorf("an allocation of the kernel for each %d bytes: use --kernel-alloc-rate 1 to %d", f.KernelAllocRate, uint64(alloc.MaxMean))
	case f.KernelAlloc && recording.IsFile(output):
		return errors.New("--kernel-alloc makes a profile of its own: name a folder with -o")
	}
	return nil
}
