package mangled_test

import (
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ianlancetaylor/demangle"

	"github.com/narrows-profiler/narrows/symbolizer/mangled"
)

const maxLength = 14 // as a power of two

// check compares what a Reader makes of a name with what the complete demangler does.
func check(t *testing.T, r *mangled.Reader, name string) (known bool) {
	t.Helper()
	got, ok := r.Append(nil, name)
	if !ok {
		return false
	}
	want, err := demangle.ToString(name, demangle.MaxLength(maxLength))
	if err != nil || string(got) != want {
		t.Errorf("%s\nis   %s\nnot  %s (error: %v)", name, got, want, err)
	}
	return true
}

// examples have each of the forms that are known.
var examples = []string{
	"_Z3foov", "_Z3fooiPKcRVdOx", "_ZN3foo3barEv", "_ZNK3foo3barEv", "_ZNVKR3foo3barEv", "_ZN3fooC1Ev", "_ZN3fooD0Ev",
	"_ZNSsC1Ev", "_ZNSt6vectorIiSaIiEE9push_backEOi", "_ZSt3maxIiERKT_S2_S2_", "_ZN3fooIiLb1ELj5ELln3EE3barEv",
	"_ZlsRSoRK3foo", "_ZN3foolsIiEEvT_", "_ZN3foocvbEv", "_ZTV3foo", "_ZTIN3foo3barE", "_ZTSPKc", "_ZGVZ3foovE3bar", "_ZThn16_N3fooD1Ev",
	"_ZTv0_n24_N3fooD0Ev", "_ZZ3foovE3bar_0", "_ZZN3foo3barEvENKUlvE_clEv", "_ZZ3fooIiEvT_ENKUliE0_clEi", "_ZN12_GLOBAL__N_13fooEv",
	"_Z3fooPFviE", "_Z3fooPKPFvPFiiEE", "_ZNSt8functionIFviPKcEE4swapERS3_", "_Z3fooB5cxx11v", "_ZN3fooC2B5cxx11Ev",
	"_Z4makeIJidPKcEEvDpOT_", "_Z4makeIJEEvDpRKT_", "_Z4makeIJRiOdEEvDpOT_", "_Z3fooIRiEvOT_", "_Z3fooIOiEvRT_", "_Z3fooi.part.0.constprop.1",
	"_ZL3foov", "_ZN3fooUt_3barEv", "_ZZN4node3fooIRjEENS_3barEOT_E20abort_args_0", "_ZN3foo3barIS_EEN3bazERKT_", "_ZN3fooIN1aE3EE3barEv",
	"_Z1fILN1a1bE2EEvv", "_Z3fooIDnEvT_", "_Z3fooDiDsDu", "_ZN1aIJiJEEE1bEv", "_Z3fooIJiEJdEEvDpT_DpT0_",
	"_ZN4core3num21_$LT$impl$u20$i16$GT$14from_str_radix17hdbfefb4e613554f4E", "_ZN52_$LT$a..b..C$u20$as$u20$core..fmt..Debug$GT$3fmt17h26168f18d210be18E.llvm.123",
}

func TestExamples(t *testing.T) {
	var r mangled.Reader
	for _, name := range examples {
		check(t, &r, name)
	}
	for _, name := range []string{"_Z3fooi", "_ZNSt6vectorIiSaIiEE9push_backEOi", "_ZZN3foo3barEvENKUlvE_clEv", "_Z4makeIJidPKcEEvDpOT_"} {
		if !check(t, &r, name) {
			t.Errorf("%s is not known", name)
		}
	}
}

// TestNamesOfThisMachine compares all names of its binaries, or of some of them.
func TestNamesOfThisMachine(t *testing.T) {
	limit := 20_000
	if os.Getenv("NARROWS_TEST_FULL") != "" {
		limit = 1 << 30
	}
	var r mangled.Reader
	seen := map[string]bool{}
	known := 0
	err := filepath.WalkDir("/usr", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil
		}
		if len(seen) >= limit {
			return filepath.SkipAll
		}
		for _, name := range namesOf(path) {
			if !seen[name] && strings.HasPrefix(name, "_Z") {
				seen[name] = true
				if check(t, &r, name) {
					known++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 {
		t.Skip("no C++ is here")
	}
	t.Logf("%d of %d names are known", known, len(seen))
	if known < len(seen)/2 {
		t.Error("few of the names are known")
	}
}

func namesOf(path string) []string {
	f, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	static, _ := f.Symbols() // either may be missing
	dynamic, _ := f.DynamicSymbols()
	var names []string
	for _, s := range append(static, dynamic...) {
		names = append(names, s.Name)
	}
	return names
}

func FuzzReader(f *testing.F) {
	for _, name := range examples {
		f.Add(name)
	}
	var r mangled.Reader
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > 4<<10 {
			return
		}
		check(t, &r, name)
	})
}

func BenchmarkReader(b *testing.B) {
	var r mangled.Reader
	var text []byte
	for b.Loop() {
		for _, name := range examples {
			text, _ = r.Append(text[:0], name)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(examples)), "ns/name")
}
