package binary_test

import (
	"cmp"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// systemFiles returns those of a few ELF files that this host has.
func systemFiles(t testing.TB, patterns ...string) []string {
	t.Helper()
	var found []string
	for _, pattern := range patterns {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range matches {
			if info, err := os.Stat(m); err == nil && info.Mode().IsRegular() && info.Size() > 1<<10 {
				found = append(found, m)
				break
			}
		}
	}
	if len(found) == 0 {
		t.Skipf("this host has none of %q", patterns)
	}
	return found
}

// TestSystemFiles checks that in programs of this host every function symbol
// that readelf lists is found, at its first and at its last byte, under one of
// the names of that address or of a function that it lies in.
func TestSystemFiles(t *testing.T) {
	paths := systemFiles(t, "/lib/*/libc.so.6", "/bin/bash", "/usr/bin/python3.*", "/usr/lib/*/libstdc++.so.6", "/usr/bin/gdb", "/lib*/*/ld-linux-*.so.*")
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			symbols, err := openFile(t, path).Symbols()
			if err != nil {
				t.Fatal(err)
			}
			functions := listed(t, path)
			if len(functions) < 10 {
				t.Fatalf("readelf lists %d functions", len(functions))
			}
			for _, f := range functions {
				for _, addr := range []uint64{f.start, f.start + f.size - 1} {
					if got := nameAt(t, symbols, addr); !covers(functions, got, addr) {
						t.Errorf("%#x of %s [%#x, +%d) is named %q", addr, f.name, f.start, f.size, got)
					}
				}
				after := f.start + f.size
				if got := nameAt(t, symbols, after); got == f.name && !covers(functions, got, after) {
					t.Errorf("%#x is named %s, which ends before it", after, got)
				}
			}
		})
	}
}

type listedFunction struct {
	start, size uint64
	name        string
}

// covers reports whether one of the functions of the name covers an address.
func covers(sorted []listedFunction, name string, addr uint64) bool {
	i, _ := slices.BinarySearchFunc(sorted, name, func(f listedFunction, name string) int { return cmp.Compare(f.name, name) })
	for ; i < len(sorted) && sorted[i].name == name; i++ {
		if addr >= sorted[i].start && addr-sorted[i].start < sorted[i].size {
			return true
		}
	}
	return false
}

// listed returns the functions with a size that readelf lists, by name.
func listed(t testing.TB, path string) []listedFunction {
	t.Helper()
	var functions []listedFunction
	for line := range strings.Lines(string(run(t, "readelf", "-Ws", path))) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[3] != "FUNC" && fields[3] != "IFUNC" || fields[6] == "UND" {
			continue
		}
		var f listedFunction
		if _, err := fmt.Sscanf(fields[1], "%x", &f.start); err != nil {
			t.Fatalf("readelf printed %q", line)
		}
		if _, err := fmt.Sscanf(fields[2], "%v", &f.size); err != nil {
			t.Fatalf("readelf printed %q", line)
		}
		f.name, _, _ = strings.Cut(fields[7], "@")
		if f.size > 0 {
			functions = append(functions, f)
		}
	}
	slices.SortFunc(functions, func(a, b listedFunction) int { return cmp.Compare(a.name, b.name) })
	return functions
}

// TestAgainstAddr2line compares a sample of addresses with binutils.
func TestAgainstAddr2line(t *testing.T) {
	path := compileC(t, "-O1", "-static")
	symbols, err := openFile(t, path).Symbols()
	if err != nil {
		t.Fatal(err)
	}
	all := truth(t, path)
	var addresses []uint64
	var arguments []string
	for i := 0; i < len(all); i += max(1, len(all)/200) {
		addr := all[i].Value + all[i].Size/2
		addresses = append(addresses, addr)
		arguments = append(arguments, fmt.Sprintf("%#x", addr))
	}
	lines := strings.Split(string(run(t, "addr2line", append([]string{"-f", "-e", path}, arguments...)...)), "\n")
	if len(lines) < 2*len(addresses) || len(addresses) < 100 {
		t.Fatalf("addr2line printed %d lines for %d addresses", len(lines), len(addresses))
	}
	for i, addr := range addresses {
		var want []string // aliases of what addr2line names
		for _, s := range all {
			if s.Name == lines[2*i] {
				want = append(want, names(all, s.Value)...)
			}
		}
		if got := nameAt(t, symbols, addr); !slices.Contains(want, got) {
			t.Errorf("%#x is named %q, addr2line says %s, also known as %q", addr, got, lines[2*i], want)
		}
	}
}

// names returns the names of the functions that begin at an address.
func names(all []elf.Symbol, start uint64) []string {
	var found []string
	for _, s := range all {
		if s.Value == start {
			found = append(found, s.Name)
		}
	}
	return found
}
