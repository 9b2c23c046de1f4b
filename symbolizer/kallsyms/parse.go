package kallsyms

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrRestricted is what Parse answers when every address reads as zero, as the
// kernel shows them to a reader without CAP_SYSLOG.
var ErrRestricted = errors.New("the kernel hides its symbols' addresses: " +
	"run as root, or lower the sysctl kernel.kptr_restrict to 1 or 0")

// ErrMalformed is what errors wrap when a line is no symbol or a limit is
// exceeded.
var ErrMalformed = errors.New("malformed kernel symbols")

// Limits for input that pretends to be a kernel's. Distribution kernels with
// all modules loaded have about 300,000 symbols; names have up to 511 bytes
// (KSYM_NAME_LEN, include/linux/kallsyms.h).
const (
	maxLine    = 4096
	maxSymbols = 4 << 20
	maxText    = 512 << 20
	maxModules = 1<<16 - 1
)

// What a kernel without modules has, about: room for it is made at once, because
// growing to it step by step takes five times as much.
const (
	usualSymbols = 128 << 10
	usualNames   = 3 << 20
)

// maxReach is the farthest that a symbol is taken to go on when nothing but
// the next symbol says where it ends. No kernel function has a megabyte; the
// gaps between modules do.
const maxReach = 1 << 20

// Parse reads symbols in the format of /proc/kallsyms: lines of an address in
// hexadecimal, a type as nm prints it, a name, and for modules the module in
// brackets. It keeps the functions (types t, T, w and W) and the places where
// anything begins.
//
// The error is ErrRestricted, wraps ErrMalformed, or is what r answered. Input
// without any function is malformed.
func Parse(r io.Reader) (*Table, error) {
	p := parser{
		modules: map[string]uint16{"": 0}, entries: make([]entry, 0, usualSymbols),
		table: &Table{modules: []string{""}, names: make([]byte, 0, usualNames)},
	}
	lines := bufio.NewScanner(io.LimitReader(r, maxText+1))
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	read := 0
	for number := 1; lines.Scan(); number++ {
		if read += len(lines.Bytes()) + 1; read > maxText {
			return nil, fmt.Errorf("more than %d bytes: %w", maxText, ErrMalformed)
		}
		if err := p.line(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("reading kernel symbols, line %d: %w", number, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("reading kernel symbols: a line of more than %d bytes: %w", maxLine, ErrMalformed)
	} else if err != nil {
		return nil, fmt.Errorf("reading kernel symbols: %w", err)
	}
	if len(p.entries) > 0 && !p.visible {
		return nil, ErrRestricted
	}
	return p.finish()
}

// An entry is one line. Only functions have a name.
type entry struct {
	addr   uint64
	name   uint32 // offset in Table.names
	module uint16
	rank   uint8 // lower gives the name of an address; noFunction for other types
}

const noFunction = 0xff

type parser struct {
	entries []entry
	modules map[string]uint16
	table   *Table
	visible bool // some address was not zero
}

func (p *parser) line(line []byte) error {
	addr, rest, err := hexadecimal(line)
	if err != nil {
		return err
	}
	if len(rest) < 4 || rest[0] != ' ' || rest[2] != ' ' {
		return fmt.Errorf("no type and name: %w", ErrMalformed)
	}
	if len(p.entries) == maxSymbols {
		return fmt.Errorf("more than %d symbols: %w", maxSymbols, ErrMalformed)
	}
	name, module, _ := bytes.Cut(rest[3:], []byte("\t"))
	if len(name) == 0 {
		return fmt.Errorf("no name: %w", ErrMalformed)
	}
	e := entry{addr: addr, rank: rank(rest[1])}
	p.visible = p.visible || addr != 0
	if e.rank != noFunction {
		if e.module, err = p.module(bytes.Trim(module, "[] \t\r")); err != nil {
			return err
		}
		if uint64(len(p.table.names))+uint64(len(name))+1 > 1<<32-1 {
			return fmt.Errorf("names of more than 4 GiB: %w", ErrMalformed)
		}
		e.name = uint32(len(p.table.names))
		p.table.names = append(append(p.table.names, name...), 0)
	}
	p.entries = append(p.entries, e)
	return nil
}

// hexadecimal reads the address at the beginning of a line.
func hexadecimal(line []byte) (addr uint64, rest []byte, err error) {
	i := 0
	for ; i < len(line) && i < 16; i++ {
		c := line[i] | 0x20
		switch {
		case '0' <= line[i] && line[i] <= '9':
			addr = addr<<4 | uint64(line[i]-'0')
		case 'a' <= c && c <= 'f':
			addr = addr<<4 | uint64(c-'a'+10)
		default:
			if i == 0 {
				return 0, nil, fmt.Errorf("no address: %w", ErrMalformed)
			}
			return addr, line[i:], nil
		}
	}
	if i == 0 {
		return 0, nil, fmt.Errorf("no address: %w", ErrMalformed)
	}
	return addr, line[i:], nil
}

// rank orders the functions of one address: global, weak, local.
func rank(kind byte) uint8 {
	switch kind {
	case 'T':
		return 0
	case 'W', 'w':
		return 1
	case 't':
		return 2
	}
	return noFunction
}

func (p *parser) module(name []byte) (uint16, error) {
	if number, ok := p.modules[string(name)]; ok {
		return number, nil
	}
	if len(p.table.modules) > maxModules {
		return 0, fmt.Errorf("more than %d modules: %w", maxModules, ErrMalformed)
	}
	number := uint16(len(p.table.modules))
	p.modules[string(name)] = number
	p.table.modules = append(p.table.modules, string(name))
	return number, nil
}

// finish sorts the entries and keeps one function an address, with its end.
func (p *parser) finish() (*Table, error) {
	// Input order breaks ties, so that the choice among equals is the kernel's.
	slices.SortStableFunc(p.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(a.rank, b.rank))
	})
	functions := 0
	for i, e := range p.entries {
		if e.rank != noFunction && (i == 0 || p.entries[i-1].addr != e.addr) {
			functions++
		}
	}
	if functions == 0 {
		return nil, fmt.Errorf("no kernel function among %d symbols: %w", len(p.entries), ErrMalformed)
	}
	t := p.table
	t.names = bytes.Clone(t.names)
	t.addresses = make([]uint64, 0, functions)
	t.rows = make([]row, 0, functions)
	for i := 0; i < len(p.entries); {
		j := i + 1
		for j < len(p.entries) && p.entries[j].addr == p.entries[i].addr {
			j++
		}
		if e := p.entries[i]; e.rank != noFunction {
			size := uint64(1) // of the last symbol only the first byte is certain
			if j < len(p.entries) {
				size = min(p.entries[j].addr-e.addr, maxReach)
			}
			t.addresses = append(t.addresses, e.addr)
			t.rows = append(t.rows, row{name: e.name, size: uint32(size), module: e.module})
		}
		i = j
	}
	return t, nil
}
