package kernellock_test

import (
	"errors"
	"testing"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/kernellock"
)

// record is an event as the programs write it.
func record(change func(*bpf.CoreContentionEvent)) []byte {
	raw := bpf.CoreContentionEvent{Since: 1000, Nested: 50, Lock: 0xffff888000001000, Weight: 512, LockFlags: 32, Flags: 16 | 2}
	raw.Header.Time, raw.Header.Kind = 1500, uint32(bpf.CoreEventKindEVENT_CONTENTION)
	raw.Thread.Tid, raw.OwnerTid, raw.Offset = 7, 8, 24
	for i, c := range "inode_cache" {
		raw.Cache[i] = int8(c)
	}
	if change != nil {
		change(&raw)
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))...)
}

func TestDecode(t *testing.T) {
	e, err := kernellock.Decode(record(nil))
	if err != nil {
		t.Fatal(err)
	}
	if e.Length() != 450 || e.Weight != 2 || e.Kind.Kind() != "mutex" || e.Cache != "inode_cache" || e.Offset != 24 ||
		e.Thread.TID != 7 || e.Owner.TID != 8 || !e.Slept || !e.HasStack || e.Interrupt || e.Open || e.Continued {
		t.Errorf("decoded %+v", e)
	}
	for name, r := range map[string][]byte{
		"short":             record(nil)[:40],
		"ends first":        record(func(e *bpf.CoreContentionEvent) { e.Since = 2000 }),
		"nested for longer": record(func(e *bpf.CoreContentionEvent) { e.Nested = 501 }),
		"stands for none":   record(func(e *bpf.CoreContentionEvent) { e.Weight = 0 }),
	} {
		if _, err := kernellock.Decode(r); !errors.Is(err, kernellock.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record(nil))
	f.Add(record(nil)[:100])
	f.Add(record(func(e *bpf.CoreContentionEvent) { e.Cache[5] = -1 }))
	namer, frames := kernellock.NewNamer(kernellock.Sources{}), kernellock.NewFrames(nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := kernellock.Decode(data)
		if err != nil {
			return
		}
		if e.Length() > e.Time-e.Since {
			t.Errorf("%d ns of %d", e.Length(), e.Time-e.Since)
		}
		if lock := namer.Name(e, frames.Caller(frames.Trim([]uint64{e.Lock}))); lock.Name == "" || lock.Kind == "" {
			t.Errorf("named %+v", lock)
		}
	})
}
