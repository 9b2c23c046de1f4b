package unwind

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// Numbers of files that stand for no file.
const (
	withoutFile = 0 // memory that no file is behind: the walker follows frame pointers
	neverLoaded = 1 // more files than there are numbers: user space unwinds them
	firstFile   = 2
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

// String says how full the tables are.
func (s TableStatistics) String() string {
	return fmt.Sprintf("%d tables loaded, %d put out, %d without room; %d of %d KiB", s.Loaded, s.PutOut, s.NoRoom, s.Held>>10, s.Budget>>10)
}
