// Package stackrecord keeps stacks that were hard to unwind, so that each becomes a
// test that needs neither the program nor the kernel.
//
// [Record] stops a thread, takes its registers, its stack, what is mapped around it, and
// of each file's unwind table the rows that the walk needs; the command stackrecord
// writes that to a file of JSON. [Read] gives it back to the tests of the walkers.
package stackrecord

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// Stack is a recorded stack.
type Stack struct {
	// What says where it comes from, and what is special about it.
	What      string           `json:"what"`
	Arch      unwind.Arch      `json:"arch"`
	Registers unwind.Registers `json:"registers"`
	Memory    []Memory         `json:"memory"`
	Code      []Code           `json:"code"`
	// Frames and End are what is known to be true of it.
	Frames []uint64   `json:"frames"`
	End    unwind.End `json:"end"`
}

// Memory is a part of the stack.
type Memory struct {
	Address uint64 `json:"address"`
	Bytes   []byte `json:"bytes"`
}

// Code is a mapping of code. Without rows nothing is known of its frames.
type Code struct {
	Start uint64        `json:"start"`
	End   uint64        `json:"end"`
	Bias  uint64        `json:"bias"` // to be subtracted for an ELF address
	File  string        `json:"file"`
	Base  uint64        `json:"base"`
	Rows  []unwind.Row  `json:"rows"`
	Wide  []unwind.Wide `json:"wide"`
}

// Table is the unwind table of a mapping, nil if there is none.
func (c Code) Table() *unwind.Table {
	if len(c.Rows) == 0 {
		return nil
	}
	return &unwind.Table{Base: c.Base, Rows: c.Rows, Wide: c.Wide}
}

// Snapshots are the parts of the stack as the walker takes them.
func (s *Stack) Snapshots() []unwind.Snapshot {
	var parts []unwind.Snapshot
	for _, m := range s.Memory {
		parts = append(parts, unwind.Snapshot{Address: m.Address, Bytes: m.Bytes})
	}
	return parts
}

// Find gives the table for an address, as unwind.Walker asks for it.
func (s *Stack) Find(pc uint64) (*unwind.Table, uint64, unwind.End) {
	for _, c := range s.Code {
		if pc >= c.Start && pc < c.End {
			return c.Table(), c.Bias, unwind.EndComplete
		}
	}
	return nil, 0, unwind.EndNoMapping
}

// Walk walks the stack with what is recorded of it.
func (s *Stack) Walk() ([]uint64, unwind.End) {
	w := unwind.Walker{Arch: s.Arch, Find: s.Find}
	return w.Walk(nil, s.Registers, s.Snapshots()...)
}

// Read reads what Write has written.
func Read(r io.Reader) (*Stack, error) {
	s := &Stack{}
	if err := json.NewDecoder(r).Decode(s); err != nil {
		return nil, fmt.Errorf("reading a recorded stack: %w", err)
	}
	if len(s.Memory) == 0 || len(s.Frames) == 0 {
		return nil, errors.New("reading a recorded stack: it has no memory, or no frames")
	}
	return s, nil
}

// Write writes the stack as JSON.
func (s *Stack) Write(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(s); err != nil {
		return fmt.Errorf("writing a recorded stack: %w", err)
	}
	return nil
}
