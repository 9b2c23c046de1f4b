package jit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
)

const (
	// pollInterval is how often lists are looked at. It is shorter than samples are
	// held back, so that a sample is named with what was written soon after it.
	pollInterval = time.Second
	// keepEnded is how long, in ns, the names of a program that ended are kept: longer
	// than samples are held back.
	keepEnded = 20e9
	// maxPrograms bounds the programs that are followed at once.
	maxPrograms = 4096
	// maxExecs bounds the processes of which it is remembered when they exec'd.
	maxExecs = 64 << 10
	// maxMemory bounds the bytes that all lists together take.
	maxMemory = 48 << 20
	// pollers is how many lists are read at once. Reading runs beside everything else,
	// since a file system of the process's own making can hang whoever reads it.
	pollers = 4
	// closeTimeout is how long Close waits for those.
	closeTimeout = 2 * time.Second
)

// A Function is one that a program made.
type Function struct {
	Name       string // for people
	SystemName string // as the list has it
	File       string // "" if not known
	StartLine  int    // where it is declared; 0 if not known
}

// Counts says how following the lists went.
type Counts struct {
	Programs int    // that had a list
	Refused  uint64 // lists that were not trusted, or could not be read
	Dropped  uint64 // lines that made no sense, or were too many
	// Detail is the last reason why a list was refused, "" if none was.
	Detail string
}

// A Watcher follows the lists of all processes. It may be used by several goroutines.
type Watcher struct {
	now    func() uint64 // ns of CLOCK_MONOTONIC
	cancel context.CancelFunc
	wait   sync.WaitGroup
	wake   chan struct{}

	mu       sync.Mutex
	programs map[uint32][]*program // by PID, the newest last
	execs    map[uint32]uint64     // when a process without a program exec'd
	memory   int
	counts   Counts
}

// New starts a Watcher on a clock of CLOCK_MONOTONIC in ns. Close ends it.
func New(now func() uint64) *Watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{
		now: now, cancel: cancel, wake: make(chan struct{}, 1),
		programs: map[uint32][]*program{}, execs: map[uint32]uint64{},
	}
	w.wait.Go(func() { w.run(ctx) })
	return w
}

// Anonymous tells whether the kernel's name for a mapping says that it is memory
// without a file, where code can only have been made by the program.
func Anonymous(path string) bool {
	return path == "" || strings.HasPrefix(path, "//anon") || strings.HasPrefix(path, "[anon")
}

// Apply takes notice of what happened to a process.
func (w *Watcher) Apply(e lifecycle.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e.Kind {
	case lifecycle.Exec:
		w.end(e.PID, e.Time)
		if len(w.execs) >= maxExecs { // exits of theirs were lost
			clear(w.execs)
		}
		w.execs[e.PID] = e.Time
	case lifecycle.Exit:
		w.end(e.PID, e.Time)
		delete(w.execs, e.PID)
	case lifecycle.Map:
		if Anonymous(e.Mapping.Path) {
			w.watch(e.PID, w.execs[e.PID])
		}
	}
}

// Watch follows a process that had executable memory without a file before any event
// told of it.
func (w *Watcher) Watch(pid uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch(pid, 0)
}

func (w *Watcher) watch(pid uint32, since uint64) {
	if w.running(pid) != nil || len(w.programs) >= maxPrograms {
		return
	}
	w.programs[pid] = append(w.programs[pid], &program{pid: pid, since: since, names: map[string]*Function{}})
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// running returns the program of a process that has not ended.
func (w *Watcher) running(pid uint32) *program {
	if all := w.programs[pid]; len(all) > 0 && all[len(all)-1].until == 0 {
		return all[len(all)-1]
	}
	return nil
}

func (w *Watcher) end(pid uint32, time uint64) {
	if p := w.running(pid); p != nil {
		p.until = time
	}
}

// Name returns the function that was at an address of a process at a time, and false
// if that is not known. The same function of one program has one pointer.
func (w *Watcher) Name(pid uint32, addr, time uint64) (*Function, bool) {
	w.mu.Lock()
	var found *program
	for _, p := range w.programs[pid] {
		if time >= p.since && (p.until == 0 || time <= p.until) {
			found = p
		}
	}
	w.mu.Unlock()
	if found == nil {
		return nil, false
	}
	return found.name(addr, time)
}

// Counts tells how it went so far.
func (w *Watcher) Counts() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}

// run looks at the lists until ctx ends.
func (w *Watcher) run(ctx context.Context) {
	ticks := time.NewTicker(pollInterval)
	defer ticks.Stop()
	slots := make(chan struct{}, pollers)
	for {
		for _, p := range w.due() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			w.wait.Go(func() {
				defer func() { <-slots }()
				w.poll(p)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-w.wake:
		}
	}
}

// due returns the programs to look at, and forgets those that ended long ago.
func (w *Watcher) due() []*program {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []*program
	now := w.now()
	for pid, all := range w.programs {
		kept := all[:0]
		for _, p := range all {
			if p.until != 0 && p.until+keepEnded < now {
				p.forget(w)
				continue
			}
			kept = append(kept, p)
			if !p.busy && !p.closed {
				p.busy = true
				p.last = p.until != 0
				due = append(due, p)
			}
		}
		clear(all[len(kept):])
		if w.programs[pid] = kept; len(kept) == 0 {
			delete(w.programs, pid)
		}
	}
	return due
}

// poll looks at one list.
func (w *Watcher) poll(p *program) {
	change, found, err := p.poll(w.now(), w.room())
	w.mu.Lock()
	defer w.mu.Unlock()
	p.busy = false
	p.closed = p.closed || p.last
	w.memory += change.memory
	w.counts.Dropped += change.dropped
	if found {
		w.counts.Programs++
	}
	// Most programs that make code keep no list.
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.counts.Refused++
		w.counts.Detail = fmt.Sprintf("process %d: %v", p.pid, err)
		p.closed = true // what was refused once is not looked at again
	}
}

func (w *Watcher) room() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.memory < maxMemory
}

// Close ends the reading and gives up the names. A list whose reading hangs is left
// to the end of the process, with an error.
func (w *Watcher) Close() error {
	w.cancel()
	ended := make(chan struct{})
	go func() {
		w.wait.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeTimeout):
		return fmt.Errorf("closing the lists of code: some are still being read: %w", os.ErrDeadlineExceeded)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.programs {
		for _, p := range all {
			p.forget(w)
		}
	}
	clear(w.programs)
	return nil
}
