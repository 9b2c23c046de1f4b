package jit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/symbolizer/perfmap"
)

// maxList bounds the bytes that are read of one list.
const maxList = 64 << 20

// A program is what one process runs from one exec to the next.
type program struct {
	pid          uint32
	since, until uint64 // ns of CLOCK_MONOTONIC; since is 0 if it began before the recording, until 0 while it runs
	// Guarded by the Watcher: a poll is under way; it is the last; there will be none.
	busy, last, closed bool

	mu     sync.Mutex
	file   *os.File // nil before the list was found
	device uint64
	inode  uint64
	read   int64
	table  perfmap.Table
	names  map[string]*Function
}

// A change is what a poll did to a program's numbers.
type change struct {
	memory  int
	dropped uint64
}

// poll finds the program's list, if there is one, and reads what is new in it.
func (p *program) poll(now uint64, room bool) (c change, found bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	memory, dropped := p.table.Memory(), p.table.Dropped()
	defer func() { c = change{p.table.Memory() - memory, p.table.Dropped() - dropped} }()
	begun := p.since
	if begun != 0 { // as time of day
		begun = uint64(time.Now().UnixNano()) - (now - p.since)
	}
	f, err := openList(p.pid, begun)
	switch {
	case err != nil && p.file != nil:
		// It is gone, or the process is: what was written before can still be read.
		return c, false, p.append(now, room)
	case err != nil:
		return c, false, err
	}
	stat, err := identify(f)
	if err != nil {
		return c, false, errors.Join(err, f.Close())
	}
	found = p.file == nil
	if p.file != nil && stat.Dev == p.device && stat.Ino == p.inode {
		f.Close()
		if stat.Size < p.read { // begun anew
			p.table.Restart(now)
			p.read = 0
		}
	} else {
		if p.file != nil {
			p.file.Close()
			p.table.Restart(now)
		}
		p.file, p.device, p.inode, p.read = f, stat.Dev, stat.Ino, 0
	}
	return c, found, p.append(now, room)
}

// append reads what was appended since the last time.
func (p *program) append(now uint64, room bool) error {
	if !room {
		return fmt.Errorf("its list of code: all lists take more than %d bytes: %w", maxMemory, perfmap.ErrTooLarge)
	}
	if p.read >= maxList {
		return fmt.Errorf("its list of code has more than %d bytes: %w", maxList, perfmap.ErrTooLarge)
	}
	r := &counting{r: io.NewSectionReader(p.file, p.read, maxList-p.read)}
	err := p.table.Read(r, now)
	p.read += r.n
	return err
}

// counting counts what is read.
type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// name returns the function at an address at a time.
func (p *program) name(addr, time uint64) (*Function, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, ok := p.table.Lookup(addr, time)
	if !ok {
		return nil, false
	}
	f := p.names[name]
	if f == nil {
		described := perfmap.Describe(name)
		f = &Function{Name: described.Name, SystemName: name, File: described.File, StartLine: described.Line}
		p.names[name] = f
	}
	return f, true
}

// forget closes the list. The Watcher is locked.
func (p *program) forget(w *Watcher) {
	if p.busy {
		return // its reading hangs
	}
	w.memory -= p.table.Memory()
	if p.file != nil {
		p.file.Close()
		p.file = nil
	}
}

func identify(f *os.File) (unix.Stat_t, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return stat, fmt.Errorf("examining a list of code: %w", err)
	}
	return stat, nil
}
