package binary_test

import (
	"debug/elf"
	"debug/gosym"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestArchitectures reads Go programs for machines other than this one, of both
// sizes of pointer and both byte orders, and compares with debug/gosym, which
// knows functions and the innermost lines but no inlining.
func TestArchitectures(t *testing.T) {
	if os.Getenv("NARROWS_TEST_FULL") == "" {
		t.Skip("compiles the standard library for each machine: set NARROWS_TEST_FULL")
	}
	for _, arch := range []string{"arm64", "386", "s390x", "mips", "riscv64"} {
		t.Run(arch, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "goprogram")
			cmd := exec.Command(tool(t, "go"), "build", "-o", path, ".")
			cmd.Dir = filepath.Join("testdata", "goprogram")
			cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("building: %v\n%s", err, out)
			}
			f := openFile(t, path)
			table, err := f.GoTable()
			if err != nil {
				t.Fatal(err)
			}
			if !table.Inlining() {
				t.Error("inline trees were not found")
			}
			symbols, err := f.Symbols()
			if err != nil {
				t.Fatal(err)
			}
			reference, code := goSymbols(t, path)
			compared, inlined := 0, 0
			for addr := code.Addr; addr < code.Addr+code.Size; addr += 44 {
				got := frames(t, table, addr)
				file, line, function := reference.PCToLine(addr)
				if len(got) == 0 || line <= 0 || function == nil || got[0].Line == 0 {
					continue // padding and the linker's markers, which have no lines
				}
				compared++
				if len(got) > 1 {
					inlined++
				}
				if outer := got[len(got)-1]; got[0].File != file || got[0].Line != line || outer.Function != function.Name {
					t.Errorf("%#x is %v, debug/gosym says %s %s:%d", addr, got, function.Name, file, line)
				}
				// The linker writes the middle dot as a dot into the ELF table.
				want := strings.ReplaceAll(function.Name, "·", ".")
				if name := nameAt(t, symbols, addr); name != "" && name != want && name != want+".abi0" {
					t.Errorf("%#x is named %s by the ELF table, debug/gosym says %s", addr, name, want)
				}
			}
			if compared < 10000 || inlined < 500 {
				t.Errorf("%d addresses compared, %d with inlining: too few to show anything", compared, inlined)
			}
		})
	}
}

// goSymbols returns debug/gosym's table of a program and where its code is.
func goSymbols(t *testing.T, path string) (*gosym.Table, elf.SectionHeader) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := f.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	code := f.Section(".text").SectionHeader
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, code.Addr))
	if err != nil {
		t.Fatal(err)
	}
	return table, code
}
