package index

import (
	"encoding/binary"
	"fmt"

	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
)

// What a Builder has so far can be asked for, so that names need not wait for the file.

// Stack appends the frames of a node, innermost first.
func (b *Builder) Stack(n uint32, stack []Position) []Position {
	for n != none {
		at := b.nodes[n]
		stack = append(stack, Position{Function: at.function, Line: int(at.line)})
		n = at.caller
	}
	return stack
}

// Functions is the number of functions so far.
func (b *Builder) Functions() int { return len(b.rows) }

// Function returns a function by its number. The error wraps ErrDamaged if a string
// could steer a terminal, which Printable prevents.
func (b *Builder) Function(id uint32) (Function, error) {
	row := b.rows[id]
	f := Function{StartLine: int(row.line & maxLine), Source: elf.Source(row.line >> sourceBits)}
	var err error
	if f.SystemName, err = b.textAt(row.system); err != nil {
		return Function{}, err
	}
	switch row.name {
	case row.system:
		f.Name = f.SystemName
	default:
		if f.Name, err = b.textAt(row.name); err != nil {
			return Function{}, err
		}
	}
	if row.file == 0 {
		return f, nil
	}
	var known bool
	if f.File, known = b.files[row.file]; !known {
		if b.files == nil {
			b.files = map[uint32]string{}
		}
		if f.File, err = b.textAt(row.file); err != nil {
			return Function{}, err
		}
		b.files[row.file] = f.File
	}
	return f, nil
}

func (b *Builder) textAt(at uint32) (string, error) { return b.made.add(b.bytesAt(at)) }

// bytesAt returns a string of the file by its offset.
func (b *Builder) bytesAt(at uint32) []byte {
	length, n := binary.Uvarint(b.text[at:])
	return b.text[at:][n:][:length]
}

// SetName gives a function its name for people. The error wraps ErrTooLarge.
func (b *Builder) SetName(id uint32, name string) error {
	row := &b.rows[id]
	if row.name = row.system; string(b.bytesAt(row.system)) == name {
		return nil
	}
	var err error
	if row.name, err = appendString(&b.text, name); err != nil {
		return fmt.Errorf("naming a function: %w", err)
	}
	return nil
}
