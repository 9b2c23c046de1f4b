package unwind

import (
	"sync/atomic"
	"time"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// refuseFor is how long a table that found no room is not tried again.
const refuseFor = 10 * time.Second

// wish is a table that a walk lacked, and the rest of its stack, which may need more.
type wish struct {
	table    *table // nil if the walk lacked the process's mappings
	memory   *Memory
	mappings []process.Mapping
	done     func() // if it is nothing but to tell that those before it are fulfilled
}

// wants tells whether a file's table, by the number the walker knows it by, can and
// should be loaded.
func (t *Tables) wants(number uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int(number) < len(t.numbers) && t.numbers[number] != nil && t.numbers[number].wanted()
}

func (x *table) wanted() bool {
	return !x.queued && !x.none && x.loaded.Rows == nil && time.Since(x.refused) >= refuseFor
}

// request has the tables loaded soon that the rest of a walk needs, beginning with the
// one it lacked. p is the process as it is now, nil if it is not known.
func (t *Tables) request(number uint32, memory *Memory, p *process.Process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := wish{memory: memory}
	if number != withoutFile {
		if w.table = t.numbers[number]; w.table == nil || !w.table.wanted() {
			return
		}
	}
	if p != nil {
		w.mappings = p.Mappings()
	}
	select {
	case t.wishes <- w:
		if w.table != nil {
			w.table.queued = true
		}
	default: // the next sample asks again
	}
}

// fulfil loads the tables that a wish names or leads to.
func (t *Tables) fulfil(w wish) {
	if w.done != nil {
		w.done()
		return
	}
	if w.table != nil {
		t.load(w.table)
	}
	if w.memory == nil {
		return
	}
	find := func(address uint64) (process.Mapping, bool) { return process.Find(w.mappings, address) }
	registers, stack := w.memory.start()
	for range maxChain {
		_, _, missing := t.walk(registers, stack, find)
		if missing == nil {
			return
		}
		if t.load(missing); !t.has(missing) {
			return
		}
	}
}

// maxChain is how many tables one stack can have loaded.
const maxChain = 64

func (t *Tables) has(x *table) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return x.none || x.heap != nil || x.loaded.Rows != nil
}

// load compiles a table, if it is not compiled yet, and puts it into the kernel.
func (t *Tables) load(x *table) {
	compiled := t.compile(x)
	t.mu.Lock()
	defer t.mu.Unlock()
	x.queued = false
	if compiled == nil || t.numbers[x.number] != x || x.loaded.Rows != nil {
		return
	}
	shift, first := index(compiled.Rows)
	at, ok := t.makeRoom(slots(compiled, first))
	if !ok {
		t.stats.NoRoom++
		x.refused = time.Now()
		t.keep(x, compiled)
		return
	}
	t.publish(x, compiled, at, shift, first)
}

// compile makes a table of a file's rules, or waits for another goroutine that does;
// nil, and known to the walker, if there are none. It also gives nil for a table that
// is in the kernel.
func (t *Tables) compile(x *table) *rules.Table {
	t.mu.Lock()
	for x.busy != nil {
		busy := x.busy
		t.mu.Unlock()
		<-busy
		t.mu.Lock()
	}
	if x.none || x.heap != nil || x.loaded.Rows != nil {
		defer t.mu.Unlock()
		return x.heap
	}
	done := make(chan struct{})
	x.busy = done
	t.mu.Unlock()

	start := time.Now()
	compiled, err := rules.Compile(x.file, rules.Limits{})
	t.mu.Lock()
	defer t.mu.Unlock()
	x.busy = nil
	close(done)
	t.stats.Compiling += time.Since(start)
	if err != nil || len(compiled.Rows) == 0 {
		x.none = true
		t.stats.None++
		atomic.StoreUint32(&t.files.elements[x.number].State, uint32(bpf.CoreUnwindFileStateFILE_WITHOUT_ROWS))
		return nil
	}
	t.stats.Rows += uint64(len(compiled.Rows))
	t.keep(x, compiled)
	return compiled
}
