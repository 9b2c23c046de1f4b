package binary

// A Source says who knows a function.
type Source uint8

// The sources, in the order in which they are asked.
const (
	FromGoTable Source = iota + 1 // Go's function table (pclntab)
	FromDWARF
	FromSymbol // .symtab or .dynsym
	FromStub   // an entry of the procedure linkage table, named function@plt
)

// A Frame is one function of the chain that the compiler made into the code at an
// address.
type Frame struct {
	Function  string // as the binary has it: mangled where it has that
	File      string // as the compiler recorded it; "" if not known
	Line      int    // 0 if not known
	StartLine int    // line where the function is declared; 0 if not known
	Source    Source
}

// A Scope is a function that has code: one of its own, or, where Caller is set, a
// copy that was inlined into another. Ranges of one function share the Scope, so
// that its address can stand for it.
type Scope struct {
	Function  string
	StartLine int
	Source    Source

	Caller   *Scope // what it was inlined into; nil if it was not
	CallFile string // file of the call in Caller, "" if not known
	CallLine int    // line of the call in Caller, 0 if not known
}

// A Range is code of one function and line.
type Range struct {
	Low, High uint64 // ELF virtual addresses, High exclusive
	Scope     *Scope // the innermost function
	File      string // "" if not known
	Line      int    // 0 if not known
}

// Frames returns the frames at any address of the range, innermost first.
func (r Range) Frames() []Frame {
	var frames []Frame
	file, line := r.File, r.Line
	for s := r.Scope; s != nil; s = s.Caller {
		frames = append(frames, Frame{Function: s.Function, File: file, Line: line, StartLine: s.StartLine, Source: s.Source})
		file, line = s.CallFile, s.CallLine
	}
	return frames
}
