package goheap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// ErrOff says that a program samples no allocations: it, or whoever started it
// (GODEBUG=memprofilerate=0), has set runtime.MemProfileRate to 0.
var ErrOff = errors.New("memory profiling is turned off in it: its runtime.MemProfileRate is 0")

// Heap is the heap profile of a process. It is used by one goroutine at a time.
type Heap struct {
	pid      uint32
	mappings []process.Mapping
	memory   *os.File
	table    *binary.GoTable
	at       variables // in the process
	bias     uint64    // of the process's addresses over the file's
}

// Open finds the heap profile of a process that has these mappings. The error wraps ErrNotGo
// where no mapped file is a Go program, ErrNotProfiled or ErrNotFound where its profile cannot
// be read, or is what the files and the process's memory answered.
func Open(pid uint32, mappings []process.Mapping) (*Heap, error) {
	var failures []error
	tried := map[*process.Binary]bool{}
	for _, m := range mappings {
		if m.Binary == nil || m.Binary.Anonymous() || tried[m.Binary] {
			continue
		}
		tried[m.Binary] = true
		h := &Heap{pid: pid, mappings: mappings}
		err := h.open(m.Binary)
		if err == nil {
			return h, nil
		}
		if !errors.Is(err, ErrNotGo) {
			failures = append(failures, fmt.Errorf("%s: %w", m.Binary.Path, err))
		}
	}
	if len(failures) == 0 {
		failures = append(failures, ErrNotGo)
	}
	return nil, fmt.Errorf("finding the heap profile of process %d: %w", pid, errors.Join(failures...))
}

// open looks at one of the files that the process has mapped.
func (h *Heap) open(b *process.Binary) error {
	file, err := b.File()
	if errors.Is(err, binary.ErrNotELF) || errors.Is(err, process.ErrNoFile) {
		return ErrNotGo
	}
	if err != nil {
		return err
	}
	if h.table, err = file.GoTable(); errors.Is(err, binary.ErrNoGoTable) {
		return ErrNotGo
	} else if err != nil {
		return err
	}
	if !file.Wide() || file.Machine() != machine[runtime.GOARCH] {
		return fmt.Errorf("%w: it is not of this machine's 64-bit kind", ErrNotFound)
	}
	if h.at, err = locate(file, h.table); err != nil {
		return err
	}
	if h.bias, err = bias(h.mappings, b, file); err != nil {
		return err
	}
	h.at.buckets += h.bias
	h.at.cycle += h.bias
	h.at.rate += h.bias
	if h.memory, err = os.Open(fmt.Sprintf("/proc/%d/mem", h.pid)); errors.Is(err, os.ErrNotExist) {
		return ErrGone
	}
	return err
}

var machine = map[string]uint16{"amd64": machineX86, "arm64": machineARM64}

// bias is what to add to the file's addresses to get the process's.
func bias(mappings []process.Mapping, b *process.Binary, file *binary.File) (uint64, error) {
	for _, m := range mappings {
		if m.Binary != b {
			continue
		}
		for _, s := range file.Executables() {
			// A mapping is whole pages, so that it may begin before the segment.
			if s.Offset < m.Offset+(m.End-m.Start) && m.Offset < s.Offset+s.Filesz {
				return m.Start - m.Offset + s.Offset - s.Vaddr, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: its code is not mapped", ErrNotFound)
}

// Close ends the access to the process's memory.
func (h *Heap) Close() error { return h.memory.Close() }

// PID is the process.
func (h *Heap) PID() uint32 { return h.pid }

// Read copies the profile. The process runs on meanwhile. The error
// wraps ErrOff where nothing is sampled, ErrGone where there is no process any more,
// ErrMalformed where the memory has something else, or is what reading it answered.
func (h *Heap) Read(ctx context.Context) (Snapshot, error) {
	rate, buckets, settled, err := read(ctx, h.memory, h.at)
	if err != nil {
		return Snapshot{}, fmt.Errorf("reading the heap profile of process %d: %w", h.pid, err)
	}
	s := newSnapshot(h, rate, buckets)
	s.Mixed = !settled
	return s, nil
}

func read(ctx context.Context, memory io.ReaderAt, at variables) (rate int64, buckets []bucket, settled bool, err error) {
	w := walker{windows: windows{memory: memory, cycle: at.cycle}, head: at.buckets, wait: time.Sleep}
	word, err := w.word(at.rate)
	if err != nil {
		return 0, nil, false, err
	}
	if rate = int64(word); rate <= 0 {
		return rate, nil, false, ErrOff
	}
	if buckets, err = w.list(ctx); err != nil {
		return rate, nil, false, err
	}
	settled, err = w.count(ctx, buckets)
	return rate, buckets, settled, err
}
