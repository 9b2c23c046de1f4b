package binary

import "fmt"

// A GoFunction is a function of Go's table as far as unwinding its frame needs
// it. Addresses are ELF virtual addresses.
type GoFunction struct {
	Entry, End uint64 // the function and the padding behind it
	// Name is of a function that carries one of the flags TopFrame and WritesSP,
	// "" of others.
	Name string
	// TopFrame marks the functions at the root of a stack, and those at which the
	// runtime's own tracebacks end because a signal begins there.
	TopFrame bool
	// WritesSP marks functions that set the stack pointer to something that is no
	// constant away from what it was, so that Depths are not to be trusted behind
	// that.
	WritesSP bool
	// Assembly marks functions that no compiler wrote.
	Assembly bool
	// Depths say how far the stack pointer is below its value at the function's
	// entry, ascending and without gaps from Entry on. None cover code of which
	// that is not known: padding, and C code in a Go binary.
	Depths []GoDepth
}

// A GoDepth says that up to the address Until the stack pointer is Bytes below
// its value at the function's entry.
type GoDepth struct {
	Until uint64
	Bytes int32
}

// abi.FuncFlag in internal/abi/symtab.go; the same since Go 1.20.
const (
	goFlagTopFrame = 1
	goFlagSPWrite  = 2
	goFlagAssembly = 4
)

// Limits on reading the stack depths of a whole table. Real functions have 2 to
// 20 steps, generated ones some thousands.
const (
	maxGoDepths     = 1 << 20 // of one function
	maxGoDepthSteps = 64 << 20
)

// Functions calls yield for each function of the table in the order of
// addresses, until it answers false. What it gets is valid during the call only.
//
// The error wraps ErrMalformed where the table contradicts itself, or is what
// the reader answered.
func (t *GoTable) Functions(yield func(*GoFunction) bool) error {
	// The window for lookups is small, because many tables are kept.
	lookups, remaining := t.window, t.remaining
	t.window, t.remaining = window{block: 32 << 10}, maxGoDepthSteps
	defer func() { t.window, t.remaining = lookups, remaining }()
	var fn GoFunction
	for i := range t.functions {
		if err := t.stackDepths(i, &fn); err != nil {
			return fmt.Errorf("reading the stack depths of the Go function at %#x: %w", t.text+uint64(t.functions[i].entry), err)
		}
		if !yield(&fn) {
			return nil
		}
	}
	return nil
}

// stackDepths reads function i.
func (t *GoTable) stackDepths(i int, fn *GoFunction) error {
	r, err := t.function(i)
	if err != nil {
		return err
	}
	*fn = GoFunction{
		Entry: t.text + uint64(r.entry), End: t.text + uint64(r.end),
		TopFrame: r.flags&goFlagTopFrame != 0,
		WritesSP: r.flags&goFlagSPWrite != 0,
		Assembly: r.flags&goFlagAssembly != 0,
		Depths:   fn.Depths[:0],
	}
	if fn.TopFrame || fn.WritesSP {
		if fn.Name, err = t.file.stringAt(t.section(t.names), uint64(r.name)); err != nil {
			return err
		}
	}
	if r.depthTable == 0 {
		return nil
	}
	return t.readDepths(r, fn)
}

// readDepths decodes a whole table of the form that value describes.
func (t *GoTable) readDepths(r goRecord, fn *GoFunction) error {
	d := varints{table: t, at: uint64(r.depthTable)}
	depth, until := int32(-1), fn.Entry
	for first := true; until < fn.End; first = false {
		if t.remaining--; t.remaining < 0 || len(fn.Depths) >= maxGoDepths {
			return fmt.Errorf("too many steps: %w", ErrMalformed)
		}
		delta, err := d.next()
		if err != nil {
			return err
		}
		if delta == 0 && !first {
			return nil
		}
		depth += int32(-(delta & 1) ^ (delta >> 1))
		step, err := d.next()
		if err != nil {
			return err
		}
		until = min(until+uint64(step)*uint64(t.quantum), fn.End)
		fn.Depths = append(fn.Depths, GoDepth{until, depth})
	}
	return nil
}
