package symbolizer

import (
	"container/list"
	"errors"
	"fmt"
	"io"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// entryMemory is about what an entry of a map and its frame take besides their
// strings.
const entryMemory = 160

// openMemory is about what an open binary takes without its tables.
const openMemory = 2 << 10

// A loadedBinary is an open binary with the tables and names read of it so far.
type loadedBinary struct {
	key    string // build ID; "" if it must not outlive the call
	file   *binary.File
	closer io.Closer // nil if the reader needs no closing

	tablesRead    bool
	symbols       *binary.Symbols // nil if symbolsReason says why not
	symbolsReason Reason
	goTable       *binary.GoTable // nil for other languages, or if goReason says why not
	goReason      Reason

	functions   map[uint64][]frame // by the start of the symbol; empty if it has no name
	goAddresses map[uint64][]frame // by ELF virtual address
	strings     map[string]string  // of goAddresses, each to itself

	memory *int // the cache's
	own    int  // this binary's part of it
}

// grow counts bytes that the binary keeps.
func (b *loadedBinary) grow(bytes int) {
	b.own += bytes
	*b.memory += bytes
}

func (b *loadedBinary) close() error {
	if b.closer == nil {
		return nil
	}
	return b.closer.Close()
}

// A cache keeps the binaries used last, under a bound of number and memory.
type cache struct {
	byKey      map[string]*list.Element // of *loadedBinary
	recent     *list.List               // most recently used first
	unkeyed    []*loadedBinary
	maxEntries int
	maxMemory  int
	memory     *int
}

func newCache(maxEntries, maxMemory int) cache {
	return cache{
		byKey: make(map[string]*list.Element), recent: list.New(),
		maxEntries: maxEntries, maxMemory: maxMemory, memory: new(int),
	}
}

// get returns the binary of a build ID, if it is kept.
func (c *cache) get(key string) (*loadedBinary, bool) {
	element, ok := c.byKey[key]
	if !ok {
		return nil, false
	}
	c.recent.MoveToFront(element)
	return element.Value.(*loadedBinary), true
}

// add keeps a binary, after making room for it.
func (c *cache) add(b *loadedBinary) {
	for c.recent.Len() > 0 && (c.recent.Len() >= c.maxEntries || *c.memory > c.maxMemory) {
		c.removeOldest()
	}
	b.memory = c.memory
	b.grow(openMemory)
	if b.key == "" {
		c.unkeyed = append(c.unkeyed, b)
		return
	}
	c.byKey[b.key] = c.recent.PushFront(b)
}

// removeOldest closes the binary not used for longest.
func (c *cache) removeOldest() error {
	b := c.recent.Remove(c.recent.Back()).(*loadedBinary)
	delete(c.byKey, b.key)
	*c.memory -= b.own
	return b.close()
}

// endCall closes the binaries that must not outlive a call, and restores the
// bound of memory, which names found since the last binary was added may have
// broken. Binaries are open for reading only, so that closing them loses
// nothing.
func (c *cache) endCall() {
	for _, b := range c.unkeyed {
		*c.memory -= b.own
		b.close()
	}
	c.unkeyed = nil
	for c.recent.Len() > 1 && *c.memory > c.maxMemory {
		c.removeOldest()
	}
}

// clear closes everything.
func (c *cache) clear() error {
	c.endCall()
	var errs []error
	for c.recent.Len() > 0 {
		errs = append(errs, c.removeOldest())
	}
	return errors.Join(errs...)
}

// errBuildID is wrapped where a file is not the one that was profiled.
var errBuildID = errors.New("the file is not the one that was profiled")

// open returns the binary of a mapping, from the cache or through Binaries. The
// Reason goes with an error. A mapping without a build ID is taken as it is, but
// not kept for the next call: its file may change.
func (s *Symbolizer) open(m *profile.Mapping) (*loadedBinary, Reason, error) {
	if m.BuildID != "" {
		if b, ok := s.cache.get(m.BuildID); ok {
			return b, "", nil
		}
	}
	r, size, err := s.config.Binaries.Binary(m)
	if err != nil {
		return nil, NotOpened, fmt.Errorf("opening the binary: %w", err)
	}
	b := &loadedBinary{key: m.BuildID}
	b.closer, _ = r.(io.Closer)
	if b.file, err = binary.Open(r, size); err != nil {
		return nil, NotELF, errors.Join(err, b.close())
	}
	if m.BuildID != "" && !b.file.HasBuildID(m.BuildID) {
		err := fmt.Errorf("the file has build ID %s: %w", b.file.BuildID(), errBuildID)
		return nil, BuildIDDiffers, errors.Join(err, b.close())
	}
	s.cache.add(b)
	return b, "", nil
}
