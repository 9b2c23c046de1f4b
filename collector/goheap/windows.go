package goheap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	windowBytes = 64 << 10
	// maxWindows are kept: the buckets that each of Go's processors (P) makes lie
	// together, and take turns in the list.
	maxWindows = 64
	// stampTries bounds how often a piece of memory is read until no garbage collection has
	// begun a cycle meanwhile.
	stampTries = 100
)

// ErrGone says that a process has ended, or runs another program now.
var ErrGone = errors.New("the process has ended, or runs another program now")

// errBusy says that garbage collections come faster than memory can be read.
var errBusy = errors.New("the garbage collector begins a cycle whenever memory is read")

// windows reads pieces of a process's memory, and knows of each in which cycle of the
// profile it was read. Most pieces come out of what was read for others.
type windows struct {
	memory io.ReaderAt
	cycle  uint64 // address of mProfCycle
	kept   map[uint64]piece
	order  []uint64 // the first is the next to go
}

// piece is memory from a multiple of windowBytes on.
type piece struct {
	bytes []byte
	cycle uint32
}

// forget makes the next pieces be read anew.
func (w *windows) forget() {
	clear(w.kept)
	w.order = w.order[:0]
}

// read gives n bytes at an address, valid until the next call, and the cycle in which they
// were read.
func (w *windows) read(address uint64, n int) ([]byte, uint32, error) {
	if address>>62 != 0 || address%wordBytes != 0 {
		return nil, 0, fmt.Errorf("%w: there can be nothing at %#x", ErrMalformed, address)
	}
	start := address &^ (windowBytes - 1)
	at := int(address - start)
	if at+n > windowBytes {
		return w.direct(address, n)
	}
	kept, ok := w.kept[start]
	if !ok {
		kept = w.take(start)
	}
	if at+n > len(kept.bytes) {
		return w.direct(address, n) // not all of the window is memory
	}
	return kept.bytes[at : at+n], kept.cycle, nil
}

// take reads a window, as far as there is memory.
func (w *windows) take(start uint64) piece {
	var bytes []byte
	if len(w.order) >= maxWindows {
		oldest := w.order[0]
		w.order = w.order[1:]
		bytes = w.kept[oldest].bytes
		delete(w.kept, oldest)
	}
	if cap(bytes) < windowBytes {
		bytes = make([]byte, windowBytes)
	}
	n, cycle, err := w.stamped(bytes[:windowBytes], start)
	if err != nil {
		n = 0 // who needs it reads it directly, and learns why not
	}
	if w.kept == nil {
		w.kept = map[uint64]piece{}
	}
	w.kept[start] = piece{bytes[:n], cycle}
	w.order = append(w.order, start)
	return w.kept[start]
}

// direct reads past the windows: something that lies in two, or that is wanted anew.
func (w *windows) direct(address uint64, n int) ([]byte, uint32, error) {
	bytes := make([]byte, n)
	got, cycle, err := w.stamped(bytes, address)
	if err == nil && got < n {
		err = fmt.Errorf("reading %d bytes at %#x: %w", n, address, io.ErrUnexpectedEOF)
	}
	return bytes, cycle, err
}

// stamped reads memory, as far as there is some, within one cycle.
func (w *windows) stamped(bytes []byte, address uint64) (n int, cycle uint32, err error) {
	before, err := w.current()
	for range stampTries {
		if err != nil {
			return 0, 0, err
		}
		n, readErr := w.memory.ReadAt(bytes, int64(address))
		if n == 0 && readErr != nil {
			return 0, 0, fmt.Errorf("reading %d bytes at %#x: %w", len(bytes), address, gone(readErr))
		}
		var after uint32
		if after, err = w.current(); err == nil && after == before {
			return n, before, nil
		}
		before = after
	}
	return 0, 0, errBusy
}

// current is the number of the cycle.
func (w *windows) current() (uint32, error) {
	var raw [4]byte
	if n, err := w.memory.ReadAt(raw[:], int64(w.cycle)); n < len(raw) {
		return 0, fmt.Errorf("reading the number of the profile's cycle at %#x: %w", w.cycle, gone(err))
	}
	cycle := binary.LittleEndian.Uint32(raw[:]) >> 1 // the lowest bit is whether it was published
	if cycle >= cycleWrap {
		return 0, fmt.Errorf("%w: a cycle with the number %d", ErrMalformed, cycle)
	}
	return cycle, nil
}

// gone says what it means that a process's memory ends: it has none any more.
func gone(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return ErrGone
	}
	return err
}
