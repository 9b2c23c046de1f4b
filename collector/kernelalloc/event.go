package kernelalloc

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/alloc"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/window"
)

// Kinds of memory, as the label "kind" of samples has them.
const (
	Slab = "slab"
	Page = "page"
)

// Owner tells the thread apart that memory was taken for.
type Owner struct {
	PID, TID     uint32
	ProcessStart uint64
}

// Block is memory that was taken down.
type Block struct {
	Stack window.StackID
	Owner Owner
	Size  uint64 // of the object with what is between two, or of the pages
	Mean  uint64 // how many bytes lay between two points
	Cache uint64 // tells slab caches apart; 0 of pages, and of what is too large for a cache
	Kind  string
	// Large tells that kmalloc took whole pages for it.
	Large bool
	// Interrupt tells that it was taken for an interrupt, NoCall that it was so for one or for
	// a fault: the stack tells which.
	Interrupt, NoCall bool
}

// Event is an allocation that was taken down.
type Event struct {
	Thread process.Thread
	Time   uint64 // ns of CLOCK_MONOTONIC
	Block
	CacheName string // of an object's slab cache, empty if it has none
}

// ErrMalformed says that a record is not what the programs write.
var ErrMalformed = errors.New("malformed allocation of the kernel")

const eventSize = unsafe.Sizeof(bpf.KernelAllocKernelAllocEvent{})

// Decode reads an EVENT_KERNEL_ALLOC of the ring buffer. It does not keep the record.
func Decode(record []byte) (Event, error) {
	if uintptr(len(record)) < eventSize {
		return Event{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(record))
	}
	var raw bpf.KernelAllocKernelAllocEvent
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), eventSize), record)
	if raw.Live.Size > math.MaxInt64 || raw.Live.Mean < 1 || raw.Live.Mean > alloc.MaxMean || raw.Live.Kind >= uint16(bpf.KernelAllocKernelAllocKindKERNEL_ALLOC_KINDS) {
		return Event{}, fmt.Errorf("%w: %d bytes of kind %d, one for each %d", ErrMalformed, raw.Live.Size, raw.Live.Kind, raw.Live.Mean)
	}
	e := Event{
		Thread: process.DecodeThread(record[unsafe.Offsetof(raw.Thread):]), Time: raw.Header.Time,
		Block: block(&raw.Live),
	}
	name := unsafe.Slice((*byte)(unsafe.Pointer(&raw.Cache[0])), len(raw.Cache))
	e.CacheName = cacheName(unix.ByteSliceToString(name), &e.Block)
	return e, nil
}

func block(raw *bpf.KernelAllocKernelAllocLive) Block {
	kind := bpf.KernelAllocKernelAllocKind(raw.Kind)
	b := Block{
		Stack: window.StackID{raw.Stack.Low, raw.Stack.High},
		Owner: Owner{raw.Tgid, raw.Tid, raw.ProcessStart},
		Size:  raw.Size, Mean: raw.Mean, Cache: raw.Cache, Kind: Slab,
		Large:     kind == bpf.KernelAllocKernelAllocKindKERNEL_ALLOC_KMALLOC && (raw.Cache == 0 || byBytes(raw.Cache) > largestObject),
		Interrupt: raw.Flags&uint16(bpf.KernelAllocKernelAllocFlagKERNEL_ALLOC_INTERRUPT) != 0,
		NoCall:    raw.Flags&uint16(bpf.KernelAllocKernelAllocFlagKERNEL_ALLOC_NO_CALL) != 0,
	}
	if kind == bpf.KernelAllocKernelAllocKindKERNEL_ALLOC_PAGE {
		b.Kind = Page
	}
	return b
}

// Weight is how many allocations one of its size stands for.
func (b *Block) Weight() float64 { return alloc.Weight(b.Size, b.Mean) }

const (
	// LargeCache is what is said in the place of a cache where kmalloc took whole pages.
	LargeCache = "kmalloc-large"
	// largestObject is the largest that kmalloc has caches for: two pages (SLUB).
	largestObject = 8192

	gfpDMA, gfpReclaimable, gfpAccount = 0x1, 0x10, 0x400000 // as in bpf/kernelalloc.bpf.c
)

// byBytes is the size that stands in the place of a cache's address, where the kernel does not
// tell whose an object is; 0 if it is an address.
func byBytes(cache uint64) uint64 {
	if cache>>63 != 0 {
		return 0
	}
	return cache >> 32
}

// cacheName is what the object's cache is called. Before Linux 6.14 the kernel does not say
// which of kmalloc's it is; that follows from the size and from what was asked for.
func cacheName(name string, b *Block) string {
	if b.Kind == Page {
		return ""
	}
	if b.Large {
		return LargeCache
	}
	size := byBytes(b.Cache)
	if size == 0 {
		return name
	}
	kind := ""
	switch {
	case b.Cache&gfpDMA != 0:
		return fmt.Sprintf("dma-kmalloc-%s", short(size))
	case b.Cache&gfpReclaimable != 0:
		kind = "rcl-"
	case b.Cache&gfpAccount != 0:
		kind = "cg-"
	}
	return fmt.Sprintf("kmalloc-%s%s", kind, short(size))
}

// short is a size as the kernel has it in such names.
func short(size uint64) string {
	if size >= 1024 && size%1024 == 0 {
		return fmt.Sprintf("%dk", size/1024)
	}
	return fmt.Sprint(size)
}
