package kallsyms

import (
	"bytes"
	"slices"
)

// A Table holds the functions of a running kernel, 20 bytes each and their
// names. It does not change, so any number of goroutines may use it.
type Table struct {
	addresses []uint64 // ascending
	rows      []row    // beside addresses
	names     []byte   // NUL-terminated
	modules   []string // the first is the kernel itself, ""
}

type row struct {
	name   uint32
	size   uint32
	module uint16
}

// Len returns the number of distinct addresses of functions.
func (t *Table) Len() int { return len(t.addresses) }

// Memory returns about how many bytes the table takes.
func (t *Table) Memory() int { return cap(t.addresses)*8 + cap(t.rows)*12 + cap(t.names) }

// Lookup returns the function that covers the kernel address addr, and the
// module it belongs to, "" for the kernel itself; "bpf" is the kernel's name for
// the module of eBPF programs. It answers false if no function is known to
// cover the address: before the first, after the first byte of the last, in
// data, and more than a megabyte after where a function begins.
//
// Among functions of one address the name is the first global one, else the
// first weak one, else the first local one.
func (t *Table) Lookup(addr uint64) (name, module string, ok bool) {
	i, found := slices.BinarySearch(t.addresses, addr)
	if !found {
		i--
	}
	if i < 0 || addr-t.addresses[i] >= uint64(t.rows[i].size) {
		return "", "", false
	}
	r := t.rows[i]
	text := t.names[r.name:]
	return string(text[:bytes.IndexByte(text, 0)]), t.modules[r.module], true
}
