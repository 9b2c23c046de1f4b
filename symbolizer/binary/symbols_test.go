package binary_test

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// nameAt returns the name of the symbol at an address, "" if there is none.
func nameAt(t testing.TB, s *binary.Symbols, addr uint64) string {
	t.Helper()
	symbol, ok := s.Lookup(addr)
	if !ok {
		return ""
	}
	if addr < symbol.Start || addr >= symbol.End {
		t.Errorf("Lookup(%#x) = [%#x, %#x), which does not cover it", addr, symbol.Start, symbol.End)
	}
	name, err := s.Name(symbol)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// truth returns the function symbols with a size that debug/elf finds.
func truth(t testing.TB, path string) []elf.Symbol {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	static, err := f.Symbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		t.Fatal(err)
	}
	dynamic, err := f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		t.Fatal(err)
	}
	isFunction := func(s elf.Symbol) bool {
		kind := elf.ST_TYPE(s.Info)
		return (kind == elf.STT_FUNC || kind == elf.STT_GNU_IFUNC) && s.Size > 0 &&
			s.Section != elf.SHN_UNDEF && s.Section < elf.SHN_LORESERVE
	}
	return slices.DeleteFunc(append(static, dynamic...), func(s elf.Symbol) bool { return !isFunction(s) })
}

func TestSymbolsOfC(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags []string
		strip []string // arguments of strip
		want  []string // functions that must be found
		gone  []string // functions that must not
	}{
		{name: "PIE", flags: []string{"-O1", "-fPIE", "-pie"},
			want: []string{"main", "static_function", "exported_function", "aliased_function", "sized_assembly", "sizeless_function", "bare_label"}},
		{name: "fixed address", flags: []string{"-O1", "-no-pie"},
			want: []string{"main", "static_function", "exported_function"}},
		{name: "static", flags: []string{"-O1", "-static"},
			want: []string{"main", "static_function", "malloc"}},
		{name: "shared object", flags: []string{"-O1", "-fPIC", "-shared"},
			want: []string{"static_function", "exported_function"}},
		{name: "shared object, stripped", flags: []string{"-O1", "-fPIC", "-shared"}, strip: []string{"--strip-all"},
			want: []string{"exported_function", "aliased_function"}, gone: []string{"static_function"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := compileC(t, test.flags...)
			if test.strip != nil {
				run(t, "strip", append(test.strip, path)...)
			}
			symbols, err := openFile(t, path).Symbols()
			if err != nil {
				t.Fatal(err)
			}
			found := make(map[string]bool)
			all := truth(t, path)
			for _, s := range all {
				checkBounds(t, symbols, s, all)
				found[nameAt(t, symbols, s.Value)] = true
			}
			for _, label := range []string{"sizeless_function", "bare_label"} {
				found[label] = slices.ContainsFunc(nm(t, path), func(s nmSymbol) bool {
					return s.name == label && nameAt(t, symbols, s.addr) == label
				})
			}
			for _, name := range test.want {
				if !found[name] {
					t.Errorf("%s was not found", name)
				}
			}
			for _, name := range test.gone {
				if found[name] {
					t.Errorf("%s was found in a file without it", name)
				}
			}
		})
	}
}

// checkBounds checks that the first and last byte of a function have one of the
// names of that address and the byte after it has not, unless another function
// begins or goes on there.
func checkBounds(t *testing.T, symbols *binary.Symbols, s elf.Symbol, all []elf.Symbol) {
	t.Helper()
	names := func(addr uint64) (covering []string) {
		for _, other := range all {
			if addr >= other.Value && addr < other.Value+other.Size {
				covering = append(covering, other.Name)
			}
		}
		return covering
	}
	for _, addr := range []uint64{s.Value, s.Value + s.Size - 1} {
		if got := nameAt(t, symbols, addr); !slices.Contains(names(addr), got) {
			t.Errorf("%#x of %s [%#x, +%d) is named %q, want one of %q", addr, s.Name, s.Value, s.Size, got, names(addr))
		}
	}
	after := s.Value + s.Size
	if got, want := nameAt(t, symbols, after), names(after); len(want) > 0 && !slices.Contains(want, got) {
		t.Errorf("%#x, after %s, is named %q, want one of %q", after, s.Name, got, want)
	} else if slices.ContainsFunc(all, func(o elf.Symbol) bool { return o.Name == got }) && len(want) == 0 {
		t.Errorf("%#x, after %s, is named %q, which ends before it", after, s.Name, got)
	}
}

func TestAliases(t *testing.T) {
	path := compileC(t, "-O1", "-fPIE", "-pie")
	symbols, err := openFile(t, path).Symbols()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, s := range truth(t, path) {
		if strings.Contains(s.Name, "aliased") {
			seen++
			if got := nameAt(t, symbols, s.Value); got != "aliased_function" {
				t.Errorf("%s is named %q, want the global name", s.Name, got)
			}
		}
	}
	if seen != 3 {
		t.Errorf("the program has %d aliases of aliased_function, want 3", seen)
	}
}

// TestSizelessExports checks that what a library exports without a size is not taken to
// go on over functions that stripping has made unknown.
func TestSizelessExports(t *testing.T) {
	dir := t.TempDir()
	source, path := filepath.Join(dir, "sizeless.s"), filepath.Join(dir, "sizeless.so")
	if err := os.WriteFile(source, []byte(`	.text
	.globl exported
	.type exported, @function
exported:
	nop
	.type hidden, @function
hidden:
	nop
	nop
	.size hidden, . - hidden
`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "gcc", "-shared", "-nostdlib", "-o", path, source)
	for _, stripped := range []bool{false, true} {
		if stripped {
			run(t, "strip", "--strip-all", path)
		}
		symbols, err := openFile(t, path).Symbols()
		if err != nil && !errors.Is(err, binary.ErrNoSymbols) {
			t.Fatal(err)
		}
		want := [3]string{"exported", "hidden", "hidden"}
		if stripped {
			want = [3]string{}
		}
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		start := f.Section(".text").Addr
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		var got [3]string
		for i := range got {
			if symbols != nil {
				got[i] = nameAt(t, symbols, start+uint64(i))
			}
		}
		if got != want {
			t.Errorf("stripped %t: %q, want %q", stripped, got, want)
		}
	}
}
