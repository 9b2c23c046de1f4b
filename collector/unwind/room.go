package unwind

import (
	"slices"
	"sync/atomic"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

const (
	// epochShift makes an epoch, the walker's measure of a table's use, of 8.6 s.
	epochShift = 33
	// usedRecently is how many epochs long a table that was used is not put out for
	// another one: if all do not fit, some of them are user space's, and none is
	// loaded again and again.
	usedRecently = 2
	// heapRows bounds the tables kept for unwinding in user space only, in rows.
	heapRows = 4 << 20
)

// makeRoom finds room for a table, and puts out others for it that were not used for
// the longest time.
func (t *Tables) makeRoom(n int) (at int, ok bool) {
	if at, ok = t.space.take(n); ok {
		return at, true
	}
	epoch := uint32(accounting.Monotonic() >> epochShift)
	var idle []*table
	for _, x := range t.numbers {
		if x != nil && x.loaded.Rows != nil && atomic.LoadUint32(&t.files.elements[x.number].Used)+usedRecently <= epoch {
			idle = append(idle, x)
		}
	}
	slices.SortFunc(idle, func(a, b *table) int {
		return int(int64(t.files.elements[a.number].Used) - int64(t.files.elements[b.number].Used))
	})
	// Which of them are needed is tried out first: each wait for walks is milliseconds.
	trial := space{size: t.space.size, free: slices.Clone(t.space.free)}
	for i, x := range idle {
		trial.give(x.slots.at, x.slots.n)
		if _, ok := trial.take(n); !ok {
			continue
		}
		for _, x := range idle[:i+1] {
			t.unload(x)
			t.stats.PutOut++
		}
		awaitWalks()
		for _, x := range idle[:i+1] {
			t.space.give(x.slots.at, x.slots.n)
			x.slots = span{}
		}
		return t.space.take(n)
	}
	return 0, false
}

// unload hides a table from the walker; walks that are under way may still see it.
func (t *Tables) unload(x *table) {
	if x.loaded.Rows == nil {
		return
	}
	atomic.StoreUint32(&t.files.elements[x.number].State, uint32(bpf.CoreUnwindFileStateFILE_ABSENT))
	x.loaded = rules.Table{}
}

// publish writes a table where nobody looks, and then lets the walker see it.
func (t *Tables) publish(x *table, compiled *rules.Table, at int, shift uint8, first []uint32) {
	n := slots(compiled, first)
	x.slots = span{at, n}
	memory := t.rows.elements[at : at+n]
	indexSlots := (len(first) + 1) / 2
	if len(first)%2 != 0 {
		first = append(first, 0)
	}
	copy(memory, words(first))
	copy(memory[indexSlots:], words(compiled.Rows))
	copy(memory[indexSlots+len(compiled.Rows):], words(compiled.Wide))

	f := &t.files.elements[x.number]
	f.Base = compiled.Base
	f.Index = uint32(at)
	f.Rows = uint32(at + indexSlots)
	f.Wide = uint32(at + indexSlots + len(compiled.Rows))
	f.WideCount = uint16(min(len(compiled.Wide), 1<<16-1))
	f.Stretches = compiled.Rows[len(compiled.Rows)-1].PC>>shift + 1
	f.Shift = shift
	f.Used = uint32(accounting.Monotonic() >> epochShift)
	atomic.StoreUint32(&f.State, uint32(bpf.CoreUnwindFileStateFILE_LOADED))

	x.loaded = *compiled
	x.loaded.Rows = fromWords[rules.Row](memory[indexSlots:], len(compiled.Rows))
	x.loaded.Wide = fromWords[rules.Wide](memory[indexSlots+len(compiled.Rows):], len(compiled.Wide))
	if x.heap != nil {
		t.heap -= len(x.heap.Rows)
		x.heap = nil
	}
	t.stats.Loaded++
}

// keep holds a table for user space, in the place of those it did not need for the
// longest time.
func (t *Tables) keep(x *table, compiled *rules.Table) {
	t.clock++
	x.used = t.clock
	if x.heap != nil {
		return
	}
	x.heap = compiled
	t.heap += len(compiled.Rows)
	for t.heap > heapRows {
		var oldest *table
		for _, y := range t.numbers {
			if y != nil && y != x && y.heap != nil && (oldest == nil || y.used < oldest.used) {
				oldest = y
			}
		}
		if oldest == nil {
			return
		}
		t.heap -= len(oldest.heap.Rows)
		oldest.heap = nil
	}
}
