package kernelalloc

import (
	"errors"
	"math"
	"testing"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/window"
)

// record is an EVENT_KERNEL_ALLOC as the programs write it.
func record(change func(*bpf.KernelAllocKernelAllocEvent)) []byte {
	raw := bpf.KernelAllocKernelAllocEvent{}
	raw.Header.Time, raw.Thread.Tgid, raw.Thread.Tid = 180, 1000, 1001
	raw.Live.Stack.Low, raw.Live.Stack.High = 1, 2
	raw.Live.Size, raw.Live.Mean, raw.Live.Tgid, raw.Live.Tid = 256, 4096, 1000, 1001
	if change != nil {
		change(&raw)
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))...)
}

func TestDecode(t *testing.T) {
	e, err := Decode(record(func(raw *bpf.KernelAllocKernelAllocEvent) {
		raw.Live.Kind = uint16(bpf.KernelAllocKernelAllocKindKERNEL_ALLOC_OBJECT)
		raw.Live.Cache = 0xffff888100000000
		for i, c := range "dentry" {
			*(*byte)(unsafe.Pointer(&raw.Cache[i])) = byte(c)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if e.Size != 256 || e.Mean != 4096 || e.Time != 180 || e.Thread.PID != 1000 || e.Owner != (Owner{PID: 1000, TID: 1001}) ||
		e.Stack != (window.StackID{1, 2}) || e.Kind != Slab || e.CacheName != "dentry" || e.Large {
		t.Errorf("%+v", e)
	}
	if want := 1 / -math.Expm1(-256.0/4096); math.Abs(e.Weight()-want) > 1e-9 {
		t.Errorf("it stands for %v, want %v", e.Weight(), want)
	}
	for name, malformed := range map[string][]byte{
		"short": record(nil)[:eventSize-1], "empty": nil,
		"too large":    record(func(raw *bpf.KernelAllocKernelAllocEvent) { raw.Live.Size = 1 << 63 }),
		"no mean":      record(func(raw *bpf.KernelAllocKernelAllocEvent) { raw.Live.Mean = 0 }),
		"unknown kind": record(func(raw *bpf.KernelAllocKernelAllocEvent) { raw.Live.Kind = 9 }),
	} {
		if _, err := Decode(malformed); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Kernels that do not say whose an object is tell its size and what was asked for.
func TestCacheNames(t *testing.T) {
	for want, raw := range map[string]bpf.KernelAllocKernelAllocLive{
		"kmalloc-96":     {Size: 96, Cache: 96 << 32},
		"kmalloc-8k":     {Size: 8192, Cache: 8192 << 32},
		"kmalloc-cg-1k":  {Size: 1024, Cache: 1024<<32 | gfpAccount},
		"kmalloc-rcl-64": {Size: 64, Cache: 64<<32 | gfpReclaimable | gfpAccount},
		LargeCache:       {Size: 16384, Cache: 16384 << 32},
		"":               {Size: 4096, Kind: uint16(bpf.KernelAllocKernelAllocKindKERNEL_ALLOC_PAGE)},
	} {
		b := block(&raw)
		if got := cacheName("", &b); got != want {
			t.Errorf("%+v is of %q, want %q", raw, got, want)
		}
	}
	large := block(&bpf.KernelAllocKernelAllocLive{Size: 16384})
	if got := cacheName("", &large); got != LargeCache {
		t.Errorf("what is of no cache is of %q", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := Decode(data); err == nil && (int64(e.Size) < 0 || e.Weight() < 1 || math.IsInf(e.Weight(), 0)) {
			t.Errorf("%+v", e)
		}
	})
}

func TestTotals(t *testing.T) {
	before := Totals{Slab: Sum{1, 2, 3, 4}, Page: Sum{5, 6, 7, 8}, ProgramBytes: 9, Pages: 10, MissedTaking: 11, MissedFreeing: 12}
	after := Totals{Slab: Sum{11, 22, 33, 44}, Page: Sum{55, 66, 77, 88}, ProgramBytes: 99, Pages: 110, MissedTaking: 121, MissedFreeing: 132}
	want := Totals{Slab: Sum{10, 20, 30, 40}, Page: Sum{50, 60, 70, 80}, ProgramBytes: 90, Pages: 100, MissedTaking: 110, MissedFreeing: 120}
	if got := after.Since(before); got != want {
		t.Errorf("%+v", got)
	}
}
