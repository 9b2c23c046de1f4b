package golock

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// Waiting is a goroutine that waits: the part of its wait until now, and where.
type Waiting struct {
	Event
	PID   uint32
	Saved unwind.Stack
}

// Limits on what is read of goroutines that wait.
const (
	maxWaiting    = 4096 // some of them, by chance, stand for more
	maxStackBytes = 16 << 10
)

// Waiting gives all waits under way at a time in the past, so that those without an end are
// not missing. It is for the end: it reads the goroutines' stacks from their processes.
func (w *Watcher) Waiting(now uint64, each func(Waiting)) {
	type entry struct {
		key   bpf.GoLockGoroutine
		value bpf.GoLockParked
	}
	var found []entry
	var e entry
	for entries := w.objects.GoParked.Iterate(); entries.Next(&e.key, &e.value); {
		if e.value.Since < now {
			found = append(found, e)
		}
	}
	weight := 1.0
	if len(found) > maxWaiting {
		rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
		weight = float64(len(found)) / maxWaiting
		found = found[:maxWaiting]
	}
	memories := map[uint32]*os.File{}
	defer func() {
		for _, m := range memories {
			m.Close() // a nil file says that it is none
		}
	}()
	for _, e := range found {
		memory, opened := memories[e.key.Tgid]
		if !opened {
			memory, _ = os.Open(fmt.Sprintf("/proc/%d/mem", e.key.Tgid)) // it may have ended
			memories[e.key.Tgid] = memory
		}
		stack, ok := savedStack(memory, e.key.G, now)
		var still bpf.GoLockParked
		if !ok || w.objects.GoParked.Lookup(e.key, &still) != nil || still.Since != e.value.Since {
			continue // it goes on
		}
		stack.Process = process.Identity{PID: e.key.Tgid}
		each(Waiting{
			Event: Event{
				WaiterTID: e.value.Tid, Goroutine: e.key.G, Lock: e.value.Lock, Since: e.value.Since, Time: now,
				Weight: weight, Reason: e.value.Reason, Target: e.key.Target,
			},
			PID: e.key.Tgid, Saved: stack,
		})
	}
}

// The words of runtime.g, as in bpf/golock.bpf.c.
const (
	wordStackLow  = 0
	wordStackHigh = 1
	wordSP        = 7
	wordPC        = 8
	wordG         = 9
	wordFP        = 12
	wordFPOld     = 13
	gWords        = 14
)

// savedStack copies the stack of a goroutine that does not run.
func savedStack(memory *os.File, address, now uint64) (unwind.Stack, bool) {
	var raw [gWords * 8]byte
	if memory == nil || address>>63 != 0 {
		return unwind.Stack{}, false
	}
	if _, err := memory.ReadAt(raw[:], int64(address)); err != nil {
		return unwind.Stack{}, false
	}
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(raw[8*i:]) }
	low, high, sp := word(wordStackLow), word(wordStackHigh), word(wordSP)
	if word(wordG) != address || sp < low || sp >= high || high>>63 != 0 {
		return unwind.Stack{}, false
	}
	fp := word(wordFP)
	if fp < low || fp >= high {
		fp = word(wordFPOld)
	}
	bytes := make([]byte, min(high-sp, maxStackBytes))
	if _, err := memory.ReadAt(bytes, int64(sp)); err != nil {
		return unwind.Stack{}, false
	}
	return unwind.Stack{
		Walked: unwind.Walked{Time: now, Memory: &unwind.Memory{
			Time: now, PC: word(wordPC), SP: sp, FP: fp, Caller: true, Stack: []rules.Snapshot{{Address: sp, Bytes: bytes}},
		}},
		User: []uint64{word(wordPC)},
	}, true
}
