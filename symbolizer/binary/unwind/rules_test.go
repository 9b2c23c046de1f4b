package unwind_test

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// An answer is the rule that testdata/rules.S has at a label.
type answer struct {
	row  unwind.Row
	wide unwind.Wide // if the row is of KindWide
}

func row(kind unwind.Kind, cfa int16, fp int8) answer {
	return answer{row: unwind.Row{Kind: kind, CFA: cfa, FP: fp}}
}

func wide(w unwind.Wide) answer {
	return answer{row: unwind.Row{Kind: unwind.KindWide}, wide: w}
}

const rsp, r10 = 7, 10

var answers = map[string]answer{
	"plain":                   row(unwind.KindSP, 1, 0),
	"plain_pushed":            row(unwind.KindSP, 2, 0),
	"plain_saved":             row(unwind.KindSP, 2, -2),
	"plain_changed":           row(unwind.KindFP, 2, -2),
	"plain_kept":              row(unwind.KindFP, 2, -2),
	"plain_popped":            row(unwind.KindSP, 1, 0),
	"plain_again":             row(unwind.KindFP, 2, -2),
	"plain_end":               row(unwind.KindNone, 0, 0),
	"root":                    row(unwind.KindEnd, 0, 0),
	"far":                     wide(unwind.Wide{CFA: 1048584, RA: -8, CFARegister: rsp}),
	"odd":                     wide(unwind.Wide{CFA: 12, RA: -8, CFARegister: rsp}),
	"far_saved":               wide(unwind.Wide{CFA: 4104, FP: -4104, RA: -8, CFARegister: rsp, Flags: unwind.WideFPSaved}),
	"other_register":          wide(unwind.Wide{RA: -8, CFARegister: r10}),
	"frame_pointer_at_itself": wide(unwind.Wide{RA: -8, CFARegister: r10, Flags: unwind.WideFPAtFP}),
	"realigned":               row(unwind.KindFPDeref, -1, 1),
	"given_up":                row(unwind.KindSP, 1, 0),
	"dereferenced":            wide(unwind.Wide{CFA: 64, RA: -8, CFARegister: rsp, Flags: unwind.WideDeref}),
	"dereferenced_after": wide(unwind.Wide{CFA: 40, FP: -24, RA: -8, CFARegister: rsp, After: 8,
		Flags: unwind.WideDeref | unwind.WideFPSaved}),
	"sum":                  wide(unwind.Wide{Flags: unwind.WideInexpressible}),
	"saved_in_register":    wide(unwind.Wide{Flags: unwind.WideInexpressible}),
	"returned_by_register": wide(unwind.Wide{Flags: unwind.WideInexpressible}),
	"linkage":              row(unwind.KindPLT, 1, 11),
	"almost_linkage":       wide(unwind.Wide{Flags: unwind.WideInexpressible}),
	"restorer":             row(unwind.KindSignal, 0, 0),
	"marked":               row(unwind.KindSP, 3, 0),
}

// assemble makes a shared object of testdata/rules.S.
func assemble(t testing.TB, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "rules.so")
	flags = append([]string{"-nostdlib", "-shared", "-o", out}, flags...)
	run(t, "gcc", append(flags, filepath.Join("testdata", "rules.S"))...)
	return out
}

// TestRules checks the rows of code whose descriptions are known, as .eh_frame,
// as .debug_frame, and as a compressed one.
func TestRules(t *testing.T) {
	if machine := run(t, "gcc", "-dumpmachine"); string(machine[:6]) != "x86_64" {
		t.Skip("the rules are of x86-64")
	}
	for name, flags := range map[string][]string{
		".eh_frame":                {},
		".debug_frame":             {"-DDEBUG_FRAME"},
		".debug_frame, compressed": {"-DDEBUG_FRAME", "-Wl,--compress-debug-sections=zlib"},
	} {
		t.Run(name, func(t *testing.T) {
			path := assemble(t, flags...)
			checkAnswers(t, path, compileFile(t, path))
		})
	}
}

func checkAnswers(t *testing.T, path string, table *unwind.Table) {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, s := range symbols {
		want, ok := answers[s.Name]
		if !ok {
			continue
		}
		checked++
		got := table.Lookup(s.Value)
		got.PC = 0
		if got.Kind == unwind.KindWide {
			if w := table.Wide[uint16(got.CFA)]; w != want.wide || want.row.Kind != unwind.KindWide {
				t.Errorf("%s is %+v, want %+v", s.Name, w, want)
			}
		} else if got != want.row {
			t.Errorf("%s is %+v, want %+v", s.Name, got, want)
		}
	}
	if checked != len(answers) {
		t.Errorf("%d labels checked, want %d", checked, len(answers))
	}
}

// TestWithoutSections takes a file's section headers away, as some tools do: the
// program headers still lead to .eh_frame.
func TestWithoutSections(t *testing.T) {
	path := assemble(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[40:48]) // e_shoff
	clear(data[60:64]) // e_shnum, e_shstrndx
	bare := filepath.Join(t.TempDir(), "bare")
	if err := os.WriteFile(bare, data, 0o600); err != nil {
		t.Fatal(err)
	}
	checkAnswers(t, path, compileFile(t, bare))
}

// TestNothing checks what is said of files without any description.
func TestNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nothing")
	run(t, "gcc", "-nostdlib", "-shared", "-fno-asynchronous-unwind-tables", "-o", path, "-x", "c", os.DevNull)
	file, err := openELF(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unwind.Compile(file, unwind.Limits{}); !errors.Is(err, unwind.ErrNoTable) {
		t.Errorf("%v, want ErrNoTable", err)
	}
}

// TestLimit checks that a table does not get larger than asked for.
func TestLimit(t *testing.T) {
	paths := systemFiles("/lib/*/libc.so.6", "/lib*/ld-musl-*.so.1")
	if len(paths) == 0 {
		t.Skip("this host has no C library")
	}
	file, err := openELF(t, paths[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unwind.Compile(file, unwind.Limits{Rows: 1000}); !errors.Is(err, binary.ErrMalformed) {
		t.Errorf("%v, want ErrMalformed", err)
	}
}
