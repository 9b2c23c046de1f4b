package perfmap

import (
	"cmp"
	"slices"
	"sort"
)

// Limits on what a program may make this package keep. A large Node service has
// 100,000 functions in 10 MB.
const (
	maxEntries  = 512 << 10
	maxNames    = 32 << 20
	maxName     = 4 << 10
	maxSize     = 1 << 30 // bytes of code of one entry
	maxReplaced = 64 << 10
)

// Remembered is how long, in nanoseconds, a Table knows what was at an address
// before something else: Lookup must not be later after a sample than this.
const Remembered = 30e9

// A Table is the entries of one program's list. It is not safe for concurrent use.
// The zero value is empty.
type Table struct {
	names    []byte
	entries  []entry
	current  []code // sorted, without overlap: what is where now
	replaced []replacement
	readings []reading // those that found something
	polled   uint64    // when Read or Restart was called last
	rest     []byte    // of a line that was not complete yet

	malformed, dropped uint64
}

// A reading found entries that were written after one time and up to another.
type reading struct{ after, at uint64 }

// An entry is a name.
type entry struct {
	name   uint32 // offset in Table.names
	length uint16
}

// Code is where the code of an entry is.
type code struct {
	low, high uint64
	entry     uint32
}

// A replacement is what was somewhere before a reading found something else there.
type replacement struct {
	code
	reading uint32
}

// Lookup returns the name of the code that was at an address at a time, on the clock
// of the readings, and false if that is not known: nothing was ever there, or two
// names are possible.
func (t *Table) Lookup(addr, time uint64) (string, bool) {
	i := sort.Search(len(t.current), func(i int) bool { return t.current[i].high > addr })
	var candidate *entry
	if i < len(t.current) && t.current[i].low <= addr {
		candidate = &t.entries[t.current[i].entry]
	}
	// From the newest replacement to the oldest: what it put there was not there
	// before the reading that came before it, and certainly from then on.
	for k := len(t.replaced) - 1; k >= 0; k-- {
		r := t.replaced[k]
		if addr < r.low || addr >= r.high {
			continue
		}
		found := t.readings[r.reading]
		if time >= found.at {
			break
		}
		before := &t.entries[r.entry]
		switch {
		case time <= found.after:
			candidate = before
		case candidate == nil || t.name(candidate) != t.name(before):
			return "", false
		}
	}
	if candidate == nil {
		return "", false
	}
	return t.name(candidate), true
}

func (t *Table) name(e *entry) string { return string(t.names[e.name : e.name+uint32(e.length)]) }

// Len returns the number of pieces of code that have a name now.
func (t *Table) Len() int { return len(t.current) }

// Memory returns about how many bytes the table takes.
func (t *Table) Memory() int {
	return cap(t.names) + cap(t.entries)*8 + cap(t.current)*24 + cap(t.replaced)*32 + cap(t.readings)*16 + cap(t.rest) + 256
}

// Dropped returns how many lines made no sense or were too many.
func (t *Table) Dropped() uint64 { return t.malformed + t.dropped }

// apply puts the entries of the last reading where they belong: of two of one reading
// at the same place the later one is there now.
func (t *Table) apply(batch []code) {
	reading := uint32(len(t.readings) - 1)
	first, last := flatten(batch, false), flatten(batch, true)
	for pair := range overlaps(t.current, last) {
		t.replaced = append(t.replaced, replacement{pair, reading})
	}
	for pair := range overlaps(first, last) {
		t.replaced = append(t.replaced, replacement{pair, reading})
	}
	t.current = over(t.current, last)
	t.forget()
}

// forget drops replacements that nobody will ask for any more.
func (t *Table) forget() {
	t.replaced = slices.DeleteFunc(t.replaced, func(r replacement) bool { return t.readings[r.reading].at+Remembered < t.polled })
	if n := len(t.replaced); n > maxReplaced {
		t.replaced = slices.Delete(t.replaced, 0, n-maxReplaced)
	}
}

func byAddress(a, b code) int { return cmp.Compare(a.low, b.low) }
