package unwind

import "sort"

// A Table has the rules of one binary's code.
type Table struct {
	// Base is the ELF virtual address that rows are relative to, the lowest one
	// that a rule is known of.
	Base uint64
	// Rows are sorted by PC, no two of them have the same, and no two neighbours
	// have the same rule. The first has PC 0; the last is of KindNone and begins
	// where the code ends.
	Rows []Row
	// Wide are the rules that rows of KindWide point to, each once.
	Wide []Wide
	// KeepsFramePointers says that the code keeps frame pointers outside of
	// prologues and leaf functions, as all that is written in Go does.
	KeepsFramePointers bool
	// Statistics says what the table was made of.
	Statistics Statistics
}

// Statistics count what a table was made of and what was left out of it.
type Statistics struct {
	Functions     int // descriptions (FDEs) and Go functions that rows were made of
	Inexpressible int // rows of WideInexpressible
	Overlapping   int // descriptions cut short, or dropped, because another has their code
	Empty         int // descriptions of no code at all
	Outside       int // descriptions of what is no code of the file
	Malformed     int // descriptions that cannot be read
}

// Lookup returns the rule for the ELF virtual address addr. Outside of the code
// that the table knows of, it is of KindNone.
func (t *Table) Lookup(addr uint64) Row {
	if addr < t.Base || addr-t.Base > 1<<32-1 {
		return Row{Kind: KindNone}
	}
	pc := uint32(addr - t.Base)
	i := sort.Search(len(t.Rows), func(i int) bool { return t.Rows[i].PC > pc })
	if i == 0 {
		return Row{Kind: KindNone}
	}
	return t.Rows[i-1]
}

// Memory returns about how many bytes the table takes, for a cache's budget.
func (t *Table) Memory() int { return cap(t.Rows)*8 + cap(t.Wide)*16 + 256 }
