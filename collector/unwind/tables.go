package unwind

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// Numbers of files that stand for no file.
const (
	withoutFile = 0 // memory that no file is behind: the walker follows frame pointers
	neverLoaded = 1 // more files than there are numbers: user space unwinds them
	firstFile   = 2
)

const (
	// epochShift makes an epoch, the walker's measure of a table's use, of 8.6 s.
	epochShift = 33
	// usedRecently is how many epochs long a table that was used is not put out for
	// another one: if all do not fit, some of them are user space's, and none is
	// loaded again and again.
	usedRecently = 2
	// refuseFor is how long a table that found no room is not tried again.
	refuseFor = 10 * time.Second
	// heapRows bounds the tables kept for unwinding in user space only, in rows.
	heapRows = 4 << 20
)

// Tables is the unwind tables of all files: compiled on demand, and in the kernel
// as far as there is room. It may be used by several goroutines.
type Tables struct {
	mu      sync.Mutex
	rows    shared[uint64]
	files   shared[bpf.CoreUnwindFile]
	space   space
	numbers []*table // by file number; nil where free
	byID    map[string]*table
	heap    int // rows in tables that only user space has
	clock   uint64
	stats   TableStatistics

	wishes chan wish
	wait   sync.WaitGroup
}

// table is one file's. Fields other than the constant ones are the Tables'.
type table struct {
	file    *binary.File
	number  int // constant
	users   int // sets of mappings that mention it
	queued  bool
	busy    chan struct{} // closed when a compilation is over that is under way; else nil
	none    bool          // there are no rules to compile
	heap    *rules.Table  // where it is compiled but not in the kernel
	used    uint64        // when user space last needed heap
	slots   span          // where it is in the kernel
	loaded  rules.Table   // a view of that; Rows is nil if it is not there
	refused time.Time     // since when there is no room for it
}

// TableStatistics counts what happened to tables.
type TableStatistics struct {
	Loaded    uint64 // into the kernel
	PutOut    uint64 // of it, for others
	NoRoom    uint64 // times that one did not fit
	None      uint64 // files without rules, or with unreadable ones
	Rows      uint64 // compiled
	Compiling time.Duration
	Held      int // rows and indexes in the kernel now, in bytes
	Budget    int // how many there is room for, in bytes
}

// NewTables makes the tables ready to load, and starts the goroutine that does it.
func NewTables(c *core.Core) (*Tables, error) {
	rows, err := share[uint64](c.Rows())
	if err != nil {
		return nil, err
	}
	files, err := share[bpf.CoreUnwindFile](c.Files())
	if err != nil {
		return nil, errors.Join(err, rows.close())
	}
	return newTables(rows, files), nil
}

func newTables(rows shared[uint64], files shared[bpf.CoreUnwindFile]) *Tables {
	t := &Tables{
		rows: rows, files: files, space: newSpace(0, len(rows.elements)), numbers: make([]*table, len(files.elements)),
		byID: map[string]*table{}, wishes: make(chan wish, 256),
	}
	t.wait.Go(func() {
		for w := range t.wishes {
			t.fulfil(w)
		}
	})
	return t
}

// Close ends the loading. No program may walk by the maps any more.
func (t *Tables) Close() error {
	close(t.wishes)
	t.wait.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.rows.close(), t.files.close())
}

// Statistics tells what happened so far.
func (t *Tables) Statistics() TableStatistics {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Budget = 8 * t.space.size
	s.Held = s.Budget - 8*t.space.left()
	return s
}

// number gives a file its number in the kernel, or neverLoaded. The caller counts as
// a user until it calls release.
func (t *Tables) number(file *binary.File) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if file.Machine() != hostMachine {
		return withoutFile
	}
	found := t.byID[file.BuildID()]
	if found == nil {
		if found = t.add(file); found == nil {
			return neverLoaded
		}
	}
	found.users++
	return found.number
}

func (t *Tables) add(file *binary.File) *table {
	free := slices.Index(t.numbers[firstFile:], nil)
	if free < 0 {
		free = slices.IndexFunc(t.numbers[firstFile:], func(x *table) bool { return x.users == 0 && !x.queued })
		if free < 0 {
			return nil
		}
		t.remove(t.numbers[firstFile+free])
	}
	created := &table{file: file, number: firstFile + free}
	t.numbers[created.number] = created
	t.byID[file.BuildID()] = created
	return created
}

// remove forgets a table that no set mentions: no walk can be at it, since sets are
// only forgotten after a grace period.
func (t *Tables) remove(x *table) {
	t.unload(x)
	t.space.give(x.slots.at, x.slots.n)
	x.slots = span{}
	if x.heap != nil {
		t.heap -= len(x.heap.Rows)
	}
	atomic.StoreUint32(&t.files.elements[x.number].State, uint32(bpf.CoreUnwindFileStateFILE_ABSENT))
	delete(t.byID, x.file.BuildID())
	t.numbers[x.number] = nil
}

// release undoes number.
func (t *Tables) release(numbers []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range numbers {
		if x := t.numbers[n]; x != nil {
			x.users--
		}
	}
}

// wish is a table that a walk lacked, and the rest of its stack, which may need more.
type wish struct {
	table    *table // nil if the walk lacked the process's mappings
	memory   *Memory
	mappings []process.Mapping
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

// String says how full the tables are.
func (s TableStatistics) String() string {
	return fmt.Sprintf("%d tables loaded, %d put out, %d without room; %d of %d KiB", s.Loaded, s.PutOut, s.NoRoom, s.Held>>10, s.Budget>>10)
}
