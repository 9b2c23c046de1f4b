package unwind

import (
	"debug/elf"
	"testing"
)

// functions are a binary's, by their offsets in the file, as debug/elf reads them.
type functions []elf.Symbol

func functionsOf(t *testing.T, path string) functions {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	var all functions
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC {
			continue
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
				s.Value += p.Off - p.Vaddr
				all = append(all, s)
				break
			}
		}
	}
	return all
}

func (f functions) name(offset uint64) string {
	for _, s := range f {
		if offset >= s.Value && offset < s.Value+s.Size {
			return s.Name
		}
	}
	return ""
}
