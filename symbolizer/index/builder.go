package index

import (
	"encoding/binary"
	"fmt"
	"slices"

	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A Builder gathers the ranges of one binary's code. The zero value is empty and
// ready to use.
type Builder struct {
	// MaxRanges bounds the ranges; 0 means four million.
	MaxRanges int
	// Partial says that nothing is known about code that is not added.
	Partial bool

	ranges []codeRange
	nodes  []node
	rows   []functionRow
	text   []byte     // the strings as the file has them
	starts []startRow // of the file
	image  []byte

	strings   map[string]uint32
	functions map[functionRow]uint32
	known     *[1 << recentNodes]knownNode
	round     uint32 // of Reset, from 1 on
	scopes    map[*elf.Scope]scope
	last      lastRange

	files map[uint32]string // that were asked for, by offset
	made  text              // of the strings that were asked for
}

// A codeRange is code of one node.
type codeRange struct {
	low, high uint64
	node      uint32
}

// A node is a frame and what it was inlined into.
type node struct{ function, line, caller uint32 }

// A knownNode is a node that was made not long ago.
type knownNode struct {
	node
	id  uint32
	set uint32 // Builder.round at the time
}

// recentNodes is how many nodes are kept, as a power of two.
const recentNodes = 13

// A scope is what the Builder has made of one.
type scope struct {
	name   uint32 // among the strings
	caller uint32 // node, none if it was not inlined
	leaf   uint32 // node of its code without file and line; none where there is no such
}

// A lastRange is the range added last: the next one mostly shares its scope, and
// often its file.
type lastRange struct {
	scope    *elf.Scope
	made     scope
	file     string
	function uint32
	set      bool
}

// Add adds code. Ranges may come in any order; of two that overlap the one that
// begins first keeps what both have. The error wraps ErrTooLarge.
func (b *Builder) Add(r elf.Range) error {
	if r.High <= r.Low || r.Scope == nil {
		return nil
	}
	n, err := b.Node(r)
	if err != nil {
		return err
	}
	return b.Cover(r.Low, r.High, n)
}

// Node returns the number of what a range has, for Cover. The error wraps ErrTooLarge.
func (b *Builder) Node(r elf.Range) (uint32, error) {
	b.begin()
	return b.leaf(r)
}

// NobodysNode is the node of code that no function has.
const NobodysNode = none

func (b *Builder) begin() {
	if len(b.text) > 0 {
		return
	}
	b.text = append(b.text, 0)
	b.round = max(b.round, 1)
	if b.strings == nil {
		b.strings, b.functions = map[string]uint32{}, map[functionRow]uint32{}
		b.scopes = map[*elf.Scope]scope{}
	}
	b.strings[""] = 0
}

// A Span is code of one place, as an index has it: its frames, innermost first; none
// if it is nobody's.
type Span struct {
	Low, High uint64 // ELF virtual addresses, High exclusive
	Frames    []Frame
}

// A Frame is a function of a Span.
type Frame struct {
	Function
	Line int
}

// AddSpan adds code that was looked up otherwise.
func (b *Builder) AddSpan(s Span) error {
	if s.High <= s.Low {
		return nil
	}
	b.begin()
	n := uint32(none)
	for _, f := range slices.Backward(s.Frames) {
		row := functionRow{line: line(f.StartLine) | uint32(f.Source)<<sourceBits}
		for _, part := range []struct {
			at   *uint32
			text string
		}{{&row.system, f.SystemName}, {&row.name, f.Name}, {&row.file, f.File}} {
			var err error
			if *part.at, err = b.string(part.text); err != nil {
				return err
			}
		}
		id, err := b.row(row)
		if err != nil {
			return err
		}
		if n, err = b.node(node{id, line(f.Line), n}); err != nil {
			return err
		}
	}
	return b.Cover(s.Low, s.High, n)
}

// Cover adds code of a node, as Add does.
func (b *Builder) Cover(low, high uint64, n uint32) error {
	if last := len(b.ranges) - 1; last >= 0 && b.ranges[last].node == n && b.ranges[last].high == low {
		b.ranges[last].high = high
		return nil
	}
	limit := maxRanges / 2 // each may be followed by nobody's
	if b.MaxRanges > 0 {
		limit = min(limit, b.MaxRanges)
	}
	if len(b.ranges) >= limit {
		return fmt.Errorf("more than %d ranges: %w", limit, ErrTooLarge)
	}
	b.ranges = append(b.ranges, codeRange{low, high, n})
	return nil
}

// leaf returns the node of a range.
func (b *Builder) leaf(r elf.Range) (uint32, error) {
	l := &b.last
	if r.File == "" && r.Line == 0 && r.Scope.Caller == nil {
		return b.symbol(r.Scope)
	}
	if !l.set || l.scope != r.Scope {
		made, err := b.scope(r.Scope, 0)
		if err != nil {
			return 0, err
		}
		*l = lastRange{scope: r.Scope, made: made, set: true}
		l.file, l.function, err = r.File, 0, nil
		if l.function, err = b.function(r.Scope, made, r.File); err != nil {
			return 0, err
		}
	} else if l.file != r.File {
		var err error
		if l.function, err = b.function(r.Scope, l.made, r.File); err != nil {
			return 0, err
		}
		l.file = r.File
	}
	return b.node(node{l.function, line(r.Line), l.made.caller})
}

// symbol returns the node of code of which only the function is known, without looking
// for one that is the same: all code of a binary without debug information is such, and
// nearly all of its names are different. Nothing else is kept of it.
func (b *Builder) symbol(s *elf.Scope) (uint32, error) {
	l := &b.last
	if l.set && l.scope == s && l.made.leaf != none {
		return l.made.leaf, nil
	}
	name, err := appendString(&b.text, elf.Printable(s.Function))
	if err != nil {
		return 0, err
	}
	leaf, err := b.lone(functionRow{system: name, line: line(s.StartLine) | uint32(s.Source)<<sourceBits})
	if err != nil {
		return 0, err
	}
	*l = lastRange{scope: s, made: scope{name: name, caller: none, leaf: leaf}, function: b.nodes[leaf].function, set: true}
	return leaf, nil
}

// Named returns the number of a new node for code of which only the function's name is
// known, for Cover. The error wraps ErrTooLarge.
func (b *Builder) Named(name []byte, source elf.Source) (uint32, error) {
	b.begin()
	var at uint32
	var err error
	if elf.Plain(name) {
		at, err = appendString(&b.text, name)
	} else {
		at, err = appendString(&b.text, elf.Printable(string(name)))
	}
	if err != nil {
		return 0, err
	}
	return b.lone(functionRow{system: at, line: uint32(source) << sourceBits})
}

// lone makes a function and a node of it alone.
func (b *Builder) lone(row functionRow) (uint32, error) {
	if len(b.rows) >= maxFunctions || len(b.nodes) >= maxRanges {
		return 0, fmt.Errorf("%d functions, %d nodes: %w", len(b.rows), len(b.nodes), ErrTooLarge)
	}
	leaf := uint32(len(b.nodes))
	b.nodes = append(b.nodes, node{uint32(len(b.rows)), 0, none})
	b.rows = append(b.rows, row)
	return leaf, nil
}

// Expect makes room for about so many functions, each with a piece of code, and bytes of
// names, which are not to be copied each time that there are twice as many.
func (b *Builder) Expect(functions, strings int) {
	functions, strings = min(functions, maxExpected), min(strings, maxExpected*averageName)
	b.ranges, b.nodes = slices.Grow(b.ranges, functions), slices.Grow(b.nodes, functions)
	b.rows, b.text = slices.Grow(b.rows, functions), slices.Grow(b.text, strings)
}

const (
	maxExpected = 256 << 10
	averageName = 64
)

// scope makes what ranges of a scope share: its name and the node of its caller.
func (b *Builder) scope(s *elf.Scope, depth int) (scope, error) {
	if made, ok := b.scopes[s]; ok {
		return made, nil
	}
	if depth >= maxInlined {
		return scope{}, fmt.Errorf("inlined more than %d deep: %w", maxInlined, ErrTooLarge)
	}
	made := scope{caller: none, leaf: none}
	if s.Caller != nil {
		outer, err := b.scope(s.Caller, depth+1)
		if err != nil {
			return scope{}, err
		}
		function, err := b.function(s.Caller, outer, s.CallFile)
		if err != nil {
			return scope{}, err
		}
		if made.caller, err = b.node(node{function, line(s.CallLine), outer.caller}); err != nil {
			return scope{}, err
		}
	}
	var err error
	if made.name, err = b.string(s.Function); err != nil {
		return scope{}, err
	}
	b.scopes[s] = made
	return made, nil
}

func (b *Builder) function(s *elf.Scope, made scope, file string) (uint32, error) {
	at, err := b.string(file)
	if err != nil {
		return 0, err
	}
	return b.row(functionRow{system: made.name, file: at, line: line(s.StartLine) | uint32(s.Source)<<sourceBits})
}

// row returns the number of a function.
func (b *Builder) row(row functionRow) (uint32, error) {
	if id, ok := b.functions[row]; ok {
		return id, nil
	}
	if len(b.rows) >= maxFunctions {
		return 0, fmt.Errorf("more than %d functions: %w", maxFunctions, ErrTooLarge)
	}
	id := uint32(len(b.rows))
	b.rows = append(b.rows, row)
	b.functions[row] = id
	return id, nil
}

// node returns the number of a node. Those that are the same mostly follow soon.
func (b *Builder) node(n node) (uint32, error) {
	if b.known == nil {
		b.known = new([1 << recentNodes]knownNode)
	}
	recent := &b.known[((n.function*0x9e3779b1)^(n.line*0x85ebca6b)^(n.caller*0xc2b2ae35))*0x9e3779b1>>(32-recentNodes)]
	if recent.set == b.round && recent.node == n {
		return recent.id, nil
	}
	if len(b.nodes) >= maxRanges {
		return 0, fmt.Errorf("more than %d nodes: %w", maxRanges, ErrTooLarge)
	}
	id := uint32(len(b.nodes))
	b.nodes = append(b.nodes, n)
	*recent = knownNode{n, id, b.round}
	return id, nil
}

// line bounds a line to what the format holds; beyond it is as unknown as 0.
func line(n int) uint32 {
	if n < 0 || n > maxLine {
		return 0
	}
	return uint32(n)
}

// string returns the offset of a string, made safe to store and print.
func (b *Builder) string(s string) (uint32, error) {
	if at, ok := b.strings[s]; ok {
		return at, nil
	}
	at, err := appendString(&b.text, elf.Printable(s))
	if err == nil {
		b.strings[s] = at
	}
	return at, err
}

// appendString adds a string to the strings of a file.
func appendString[T string | []byte](text *[]byte, s T) (uint32, error) {
	if len(s) == 0 {
		return 0, nil
	}
	if len(s) > maxName || len(*text)+len(s) > maxStrings-16 {
		return 0, fmt.Errorf("%d bytes of strings and one of %d: %w", len(*text), len(s), ErrTooLarge)
	}
	at := uint32(len(*text))
	*text = append(binary.AppendUvarint(*text, uint64(len(s))), s...)
	return at, nil
}

// Reset forgets everything, but keeps memory for the next binary.
func (b *Builder) Reset(maxRanges int, partial bool) {
	const large = 1 << 14 // maps of more take longer to clear than to make anew
	if len(b.strings)+len(b.functions)+len(b.scopes)+len(b.files) > large {
		b.strings, b.functions, b.scopes, b.files = nil, nil, nil, nil
	}
	clear(b.strings)
	clear(b.functions)
	clear(b.scopes)
	clear(b.files)
	*b = Builder{
		MaxRanges: maxRanges, Partial: partial, ranges: b.ranges[:0], nodes: b.nodes[:0], rows: b.rows[:0], text: b.text[:0],
		starts: b.starts[:0], image: b.image[:0], strings: b.strings, functions: b.functions, known: b.known, round: b.round + 1, scopes: b.scopes,
		files: b.files, made: b.made,
	}
}
