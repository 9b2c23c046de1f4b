package symbolizer

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

// entryMemory is about what an entry of a map and its frame take besides their
// strings.
const entryMemory = 160

// openMemory is about what an open binary takes without its tables.
const openMemory = 2 << 10

// A loadedBinary is an open binary with the tables and names read of it so far.
type loadedBinary struct {
	key  string // build ID; "" if it must not outlive the call
	file *binary.File

	debug      *binary.File // its separate debug file; nil if there is none
	supplement *binary.File // of the debug information; nil if there is none

	// The same files, read in pages; they rest while the binary is not in use.
	codePages, debugPages, supplementPages *pages

	closer io.Closer // closes all of them; nil if the readers need no closing

	folder    *index.Folder // also for scratch files; nil if there is none
	scratches []*scratch

	table  *debuginfo.Table // nil until it is needed
	reason Reason           // why what table does not cover has no name

	indexed indexed

	addresses map[uint64]resolution
	strings   map[string]string // of addresses, each to itself

	inUse   bool          // by a goroutine; the cache's lock guards it
	memory  *atomic.Int64 // the cache's
	own     int           // this binary's part of it
	counted int           // what own has for table
}

// grow counts bytes that the binary keeps.
func (b *loadedBinary) grow(bytes int) {
	b.own += bytes
	b.memory.Add(int64(bytes))
}

func (b *loadedBinary) close() error {
	b.learn()
	err := errors.Join(b.indexed.close(), b.closeScratches(0))
	if b.closer != nil {
		err = errors.Join(err, b.closer.Close())
	}
	return err
}

// A cache keeps the binaries used last, under a bound of number and memory. Several
// goroutines may use it, but each binary only one at a time.
type cache struct {
	mu         sync.Mutex
	byKey      map[string]*list.Element // of *loadedBinary
	recent     *list.List               // most recently used first
	unkeyed    []*loadedBinary
	maxEntries int
	maxMemory  int
	memory     atomic.Int64
}

func (c *cache) init(maxEntries, maxMemory int) {
	c.byKey, c.recent = make(map[string]*list.Element), list.New()
	c.maxEntries, c.maxMemory = maxEntries, maxMemory
}

// get returns the binary of a build ID, if it is kept. It must be released.
func (c *cache) get(key string) (*loadedBinary, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.byKey[key]
	if !ok {
		return nil, false
	}
	c.recent.MoveToFront(element)
	b := element.Value.(*loadedBinary)
	b.inUse = true
	return b, true
}

// add keeps a binary, after making room for it. It must be released.
func (c *cache) add(b *loadedBinary) {
	b.memory = &c.memory
	c.drop(func() bool {
		return c.recent.Len() > 0 && (c.recent.Len() >= c.maxEntries || c.memory.Load() > int64(c.maxMemory))
	})
	b.grow(openMemory)
	c.mu.Lock()
	defer c.mu.Unlock()
	b.inUse = true
	if b.key == "" {
		c.unkeyed = append(c.unkeyed, b)
		return
	}
	c.byKey[b.key] = c.recent.PushFront(b)
}

// release ends the use of a binary.
func (c *cache) release(b *loadedBinary) {
	b.rest()
	c.mu.Lock()
	defer c.mu.Unlock()
	b.inUse = false
}

// drop closes the binaries not used for longest, as long as there are too many.
// Closing may write an index, for which nobody else need wait.
func (c *cache) drop(tooMany func() bool) error {
	var errs []error
	for {
		c.mu.Lock()
		var oldest *list.Element
		if tooMany() {
			for oldest = c.recent.Back(); oldest != nil && oldest.Value.(*loadedBinary).inUse; {
				oldest = oldest.Prev()
			}
		}
		if oldest == nil {
			c.mu.Unlock()
			return errors.Join(errs...)
		}
		b := c.recent.Remove(oldest).(*loadedBinary)
		delete(c.byKey, b.key)
		c.mu.Unlock()
		c.memory.Add(-int64(b.own))
		errs = append(errs, b.close())
	}
}

// endCall closes the binaries that must not outlive a call, and restores the
// bound of memory, which names found since the last binary was added may have
// broken. Binaries are open for reading only, so that closing them loses
// nothing.
func (c *cache) endCall() {
	for _, b := range c.unkeyed {
		c.memory.Add(-int64(b.own))
		b.close()
	}
	c.unkeyed = nil
	c.drop(func() bool { return c.recent.Len() > 1 && c.memory.Load() > int64(c.maxMemory) })
}

// clear closes everything.
func (c *cache) clear() error {
	c.endCall()
	return c.drop(func() bool { return true })
}

// errBuildID is wrapped where a file is not the one that was profiled.
var errBuildID = errors.New("the file is not the one that was profiled")

// open returns the binary of a mapping, from the cache or through Binaries; it must be
// released. The Reason goes with an error. A mapping without a build ID is taken as it is, but
// not kept for the next call: its file may change.
func (s *Symbolizer) open(m *profile.Mapping) (*loadedBinary, Reason, error) {
	if m.BuildID != "" {
		if b, ok := s.cache.get(m.BuildID); ok {
			return b, "", nil
		}
	}
	s.opening.Lock()
	r, size, err := s.config.Binaries.Binary(m)
	s.opening.Unlock()
	if err != nil {
		return nil, NotOpened, fmt.Errorf("opening the binary: %w", err)
	}
	b := &loadedBinary{key: m.BuildID, closer: closers{r}, folder: s.config.Indexes}
	b.codePages = newPages(r, size)
	if b.file, err = binary.Open(r, size); err != nil {
		return nil, NotELF, errors.Join(err, b.close())
	}
	if m.BuildID != "" && !b.file.HasBuildID(m.BuildID) {
		err := fmt.Errorf("the file has build ID %s: %w", b.file.BuildID(), errBuildID)
		return nil, BuildIDDiffers, errors.Join(err, b.close())
	}
	s.openDebug(b, m)
	s.openSupplement(b, m)
	if m.BuildID != "" {
		b.indexed.source = b.source()
	}
	s.cache.add(b)
	return b, "", nil
}

// openSupplement opens the file that the debug information of a binary refers to, if
// there is one.
func (s *Symbolizer) openSupplement(b *loadedBinary, m *profile.Mapping) {
	from := b.file
	if b.debug != nil {
		from = b.debug
	}
	link, ok := from.SupplementLink()
	if s.config.Supplements == nil || !ok {
		return
	}
	s.opening.Lock()
	r, size, err := s.config.Supplements.Supplement(m, link)
	s.opening.Unlock()
	if err != nil {
		return
	}
	b.closer = closers{b.closer, r}
	if f, err := binary.OpenSupplement(r, size, link); err == nil {
		b.supplement, b.supplementPages = f, newPages(r, size)
	}
}

// openDebug opens the separate debug file of a binary that has no debug information
// itself, if there is one. One that turns out not to be the binary's is as good as
// none.
func (s *Symbolizer) openDebug(b *loadedBinary, m *profile.Mapping) {
	if s.config.DebugFiles == nil || b.file.HasContents(".debug_info") {
		return
	}
	s.opening.Lock()
	r, size, err := s.config.DebugFiles.DebugFile(m, b.file.DebugLink())
	s.opening.Unlock()
	if err != nil {
		return
	}
	b.closer = closers{b.closer, r}
	if debug, err := binary.OpenDebug(r, size, b.file); err == nil {
		b.debug, b.debugPages = debug, newPages(r, size)
	}
}

// open opens what is known of the binary's code.
func (b *loadedBinary) open() *debuginfo.Table {
	through := func(f *binary.File, p *pages) *binary.File {
		if f = f.Through(p); b.folder != nil {
			f = f.WithScratch(b.newScratch)
		}
		return f
	}
	var o debuginfo.Options
	if b.debug != nil {
		o.Debug = through(b.debug, b.debugPages)
	}
	if b.supplement != nil {
		o.Supplement = through(b.supplement, b.supplementPages)
	}
	return debuginfo.Open(through(b.file, b.codePages), o)
}

// closers closes those of its elements that can be closed.
type closers []any

func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		if closer, ok := one.(io.Closer); ok {
			errs = append(errs, closer.Close())
		}
	}
	return errors.Join(errs...)
}
