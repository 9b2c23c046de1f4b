package perfmap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrTooLarge is what Read wraps when a list has more than is kept of one.
var ErrTooLarge = errors.New("list of code too large")

// Read takes in what was appended to the list since the last call, at a time. Lines
// that make no sense are counted and left out; one that is not complete is kept until
// the rest of it comes.
//
// The error wraps ErrTooLarge, after which the table stays as it is, or is the
// reader's.
func (t *Table) Read(r io.Reader, time uint64) error {
	now := t.poll(time)
	lines := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(t.rest), r), 64<<10)
	t.rest = nil
	var batch []code
	defer func() {
		if len(batch) > 0 {
			t.readings = append(t.readings, now)
			t.apply(batch)
		}
	}()
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			t.malformed++
			if err := discardLine(lines); err != nil {
				return ignoreEnd(err)
			}
			continue
		case errors.Is(err, io.EOF):
			t.rest = bytes.Clone(line)
			return nil
		case err != nil:
			return fmt.Errorf("reading a list of code: %w", err)
		}
		low, high, name, ok := parse(bytes.TrimRight(line, "\r\n"))
		if !ok {
			t.malformed++
			continue
		}
		if len(t.entries) == maxEntries || len(t.names)+len(name) > maxNames {
			t.dropped++
			return fmt.Errorf("reading a list of code: more than %d entries or %d bytes of names: %w", maxEntries, maxNames, ErrTooLarge)
		}
		batch = append(batch, code{low, high, uint32(len(t.entries))})
		t.entries = append(t.entries, entry{uint32(len(t.names)), uint16(len(name))})
		t.names = append(t.names, name...)
	}
}

// discardLine passes over the rest of a line that is longer than any name.
func discardLine(lines *bufio.Reader) error {
	for {
		_, err := lines.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("reading a list of code: %w", err)
}

// Restart says that the list was begun anew: what it had is no longer true from this
// time on. Read then takes in the new list from its beginning.
func (t *Table) Restart(time uint64) {
	t.readings = append(t.readings, t.poll(time))
	for _, c := range t.current {
		t.replaced = append(t.replaced, replacement{c, uint32(len(t.readings) - 1)})
	}
	t.current, t.rest = nil, nil
	t.forget()
}

// poll notes that the list was looked at, and returns when whatever is new in it was
// written.
func (t *Table) poll(time uint64) reading {
	r := reading{after: t.polled, at: max(time, t.polled)}
	t.polled = r.at
	return r
}

// parse reads a line: address, size, name.
func parse(line []byte) (low, high uint64, name []byte, ok bool) {
	low, rest, ok := hexadecimal(line)
	if !ok {
		return 0, 0, nil, false
	}
	size, name, ok := hexadecimal(rest)
	if !ok || size == 0 || size > maxSize || low+size < low || len(name) == 0 {
		return 0, 0, nil, false
	}
	return low, low + size, name[:min(len(name), maxName)], true
}

// hexadecimal reads a number, which may begin with 0x, and the spaces after it.
func hexadecimal(text []byte) (v uint64, rest []byte, ok bool) {
	text = bytes.TrimPrefix(text, []byte("0x"))
	end := bytes.IndexByte(text, ' ')
	if end < 1 || end > 16 {
		return 0, nil, false
	}
	for _, c := range text[:end] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, nil, false
		}
		v = v<<4 | uint64(c)
	}
	return v, bytes.TrimLeft(text[end:], " "), true
}
