package binary

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Function is a function of the symbol tables, with its code.
type Function struct {
	Start, End uint64 // ELF virtual addresses, End exclusive
}

// maxFoundNames bounds the string table that FindFunctions looks through.
const maxFoundNames = 256 << 20

// FindFunctions looks for functions by their names, versions left out, in .dynsym and
// .symtab. Those that are not there, or whose size is not known, are left out.
func (f *File) FindFunctions(names ...string) (map[string]Function, error) {
	c, err := f.collectSymbols()
	if err != nil {
		return nil, fmt.Errorf("looking for functions: %w", err)
	}
	found := map[string]Function{}
	for _, table := range []struct {
		section section
		dynamic uint32
	}{{c.dynamic, nameDynamic}, {c.static, 0}} {
		offsets, err := f.findNames(table.section, names)
		if err != nil {
			return nil, fmt.Errorf("looking for functions: %w", err)
		}
		if len(offsets) == 0 {
			continue
		}
		for _, k := range c.candidates {
			name, ok := offsets[uint64(k.name&nameMask)]
			if _, known := found[name]; !ok || known || k.size == 0 || k.name&nameDynamic != table.dynamic {
				continue
			}
			start := c.base + uint64(k.start)
			found[name] = Function{start, start + uint64(k.size)}
		}
	}
	return found, nil
}

// findNames says where in a string table names begin. Linkers let a name share the end of a
// longer one.
func (f *File) findNames(table section, names []string) (map[uint64]string, error) {
	const chunk = 1 << 20
	if table.size == 0 || len(names) == 0 {
		return nil, nil
	}
	if table.size > maxFoundNames {
		return nil, fmt.Errorf("names of %d bytes: %w", table.size, ErrMalformed)
	}
	longest := len(slices.MaxFunc(names, func(a, b string) int { return len(a) - len(b) })) + 1
	offsets := map[uint64]string{}
	for at := uint64(0); at < table.size; at += chunk {
		data, err := f.read(table.offset+at, min(chunk+uint64(longest), table.size-at))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			for i := 0; ; i++ {
				next := bytes.Index(data[i:], []byte(name))
				if next < 0 {
					break
				}
				i += next
				if rest := data[i+len(name):]; len(rest) > 0 && strings.IndexByte("\x00@", rest[0]) >= 0 {
					offsets[at+uint64(i)] = name
				}
			}
		}
	}
	return offsets, nil
}
