package unwind

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/process"
)

// maxMappings is how many mappings a process may have for the kernel to unwind it:
// the walker's search (MAPPING_STEPS in bpf/unwind_table.h) ends there.
const maxMappings = 1<<15 - 1

var (
	errTooMany = errors.New("the process has too many mappings")
	errNone    = errors.New("no mappings of the process are known")
	errFull    = errors.New("the table of mappings is full")
)

// sets is the mappings of processes as the walker sees them. What one process has
// mapped at one time is a set; processes that share it are counted in the kernel. It
// is used by one goroutine.
type sets struct {
	tables   *Tables
	mappings shared[bpf.CoreUnwindMapping]
	counts   shared[bpf.CoreUnwindSet]
	room     space
	numbers  space
	known    map[*process.Mapping]*set // by the first of the mappings it was made of
	versions uint64
}

// set is one set. A mapping list never changes, so that its address tells it.
type set struct {
	of      []process.Mapping
	number  uint32
	range_  span
	version uint64
	files   []int
	pureGo  bool
}

func newSets(c *core.Core, tables *Tables) (*sets, error) {
	s := &sets{tables: tables, known: map[*process.Mapping]*set{}}
	var err error
	if s.mappings, err = share[bpf.CoreUnwindMapping](c.Mappings()); err != nil {
		return nil, err
	}
	if s.counts, err = share[bpf.CoreUnwindSet](c.Sets()); err != nil {
		return nil, errors.Join(err, s.mappings.close())
	}
	s.room = newSpace(0, len(s.mappings.elements))
	s.numbers = newSpace(1, len(s.counts.elements)) // 0 is none
	return s, nil
}

func (s *sets) close() error { return errors.Join(s.mappings.close(), s.counts.close()) }

// versionBits is how much of a version is a running number; the rest is the batch of
// events that the mappings were learnt from.
const versionBits = 24

// Batch is the batch of events up to which a version of mappings is true.
func Batch(version uint64) uint64 { return version >> versionBits }

// Version is the first version that is true up to a batch of events.
func Version(batch uint64) uint64 { return batch << versionBits }

// get describes mappings to the kernel, or finds that it was done. ready is false if
// some file is still being opened, and patient whether to wait for it.
func (s *sets) get(of []process.Mapping, batch uint64, patient bool) (found *set, ready bool, err error) {
	if len(of) == 0 {
		return nil, !patient, errNone
	}
	if len(of) > maxMappings {
		return nil, true, errTooMany
	}
	if known := s.known[&of[0]]; known != nil && len(known.of) == len(of) {
		return known, true, nil
	}
	if patient && slices.ContainsFunc(of, func(m process.Mapping) bool { return !m.Binary.Ready() }) {
		return nil, false, nil
	}
	created := &set{of: of, pureGo: isPureGo(of)}
	described := s.describe(created)
	if !s.place(created, described) {
		s.reclaim()
		if !s.place(created, described) {
			s.tables.release(created.files)
			return nil, true, errFull
		}
	}
	s.versions++
	created.version = Version(batch) | s.versions&(1<<versionBits-1)
	s.known[&of[0]] = created
	return created, true, nil
}

// describe makes the kernel's form of mappings; neighbours of the same meaning become one.
func (s *sets) describe(created *set) []bpf.CoreUnwindMapping {
	described := make([]bpf.CoreUnwindMapping, 0, len(created.of))
	numbers := map[*process.Binary]int{}
	for _, m := range created.of {
		file, bias := s.file(m, numbers)
		last := len(described) - 1
		if last >= 0 && described[last].End == m.Start && int(described[last].File) == file && described[last].Bias == bias {
			described[last].End = m.End
			continue
		}
		described = append(described, bpf.CoreUnwindMapping{Start: m.Start, End: m.End, Bias: bias, File: uint32(file)})
	}
	for _, number := range numbers {
		if number >= firstFile {
			created.files = append(created.files, number)
		}
	}
	return described
}

// file is the number of a mapping's file, and what to subtract from an address in it.
func (s *sets) file(m process.Mapping, numbers map[*process.Binary]int) (number int, bias uint64) {
	if !m.Binary.Ready() {
		return neverLoaded, 0
	}
	opened, err := m.Binary.File()
	if err != nil {
		return withoutFile, 0
	}
	bias, ok := biasOf(m, opened)
	if !ok {
		return withoutFile, 0
	}
	number, known := numbers[m.Binary]
	if !known {
		number = s.tables.number(opened)
		numbers[m.Binary] = number
	}
	return number, bias
}

// isPureGo tells whether all code that is mapped, but for the kernel's own, is that of a Go
// program. With C in it, its threads may wait for locks of C.
func isPureGo(of []process.Mapping) bool {
	found := false
	for _, m := range of {
		if strings.HasPrefix(m.Binary.Path, "[") {
			continue
		}
		if !m.Binary.Ready() {
			return false
		}
		file, err := m.Binary.File()
		if err != nil || !file.HasContents(".gopclntab") && !file.HasContents(".data.rel.ro.gopclntab") {
			return false
		}
		found = true
	}
	return found
}

func (s *sets) place(created *set, described []bpf.CoreUnwindMapping) bool {
	number, ok := s.numbers.take(1)
	if !ok {
		return false
	}
	at, ok := s.room.take(len(described))
	if !ok {
		s.numbers.give(number, 1)
		return false
	}
	created.number, created.range_ = uint32(number), span{at, len(described)}
	copy(s.mappings.elements[at:], described)
	s.counts.elements[number].Processes = 0
	return true
}

// used counts a process in, or out, beside the kernel, which counts forked children.
func (s *sets) used(number uint32, by int64) {
	if int(number) < len(s.counts.elements) {
		atomic.AddUint64(&s.counts.elements[number].Processes, uint64(by))
	}
}

// reclaim frees the sets that no process has. After the wait none can get it any more:
// a fork that saw the last process's entry has counted its child by then.
func (s *sets) reclaim() {
	idle := s.idle()
	if len(idle) == 0 {
		return
	}
	awaitWalks()
	for _, x := range idle {
		if atomic.LoadUint64(&s.counts.elements[x.number].Processes) != 0 {
			continue
		}
		delete(s.known, &x.of[0])
		s.room.give(x.range_.at, x.range_.n)
		s.numbers.give(int(x.number), 1)
		s.tables.release(x.files)
	}
}

func (s *sets) idle() []*set {
	var idle []*set
	for _, x := range s.known {
		if atomic.LoadUint64(&s.counts.elements[x.number].Processes) == 0 {
			idle = append(idle, x)
		}
	}
	return idle
}
