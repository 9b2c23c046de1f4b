package symbolizer

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// functionNames compiles a source file and returns its functions' linkage
// names.
func functionNames(t *testing.T, file, source, compiler string, flags ...string) []string {
	t.Helper()
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skipf("%s is not installed", compiler)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(compiler, append(flags, "-o", "program", file)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compiler, err, out)
	}
	f, err := elf.Open(filepath.Join(dir, "program"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			names = append(names, s.Name)
		}
	}
	return names
}

const cppSource = `
#include <vector>
#include <string>
namespace outer { namespace { struct hidden { __attribute__((noinline)) int method(int x) const { return x * 2; } }; }
template <typename T, int N> __attribute__((noinline)) T scale(T v) { return v * N; }
__attribute__((noinline)) int overloaded(int a) { return a + 1; }
__attribute__((noinline)) int overloaded(const std::string &s) { return (int)s.size(); }
struct point { int x; __attribute__((noinline)) point operator+(const point &o) const { return point{x + o.x}; } ~point(); };
__attribute__((noinline)) point::~point() { x = 0; }
}
int main(int c, char **v) {
  outer::hidden h; outer::point p{c}, q{2};
  auto f = [&](int i) __attribute__((noinline)) { return h.method(i); };
  return f(c) + (int)outer::scale<double, 3>(c) + outer::overloaded(c) + outer::overloaded(std::string(v[0])) + (p + q).x;
}
`

// TestDemangleCPP compares with c++filt.
func TestDemangleCPP(t *testing.T) {
	names := functionNames(t, "p.cpp", cppSource, "g++", "-O1")
	filt, err := exec.LookPath("c++filt")
	if err != nil {
		t.Skip("c++filt is not installed")
	}
	cmd := exec.Command(filt)
	for i, name := range names {
		names[i], _, _ = strings.Cut(name, "@") // c++filt would keep the version
	}
	cmd.Stdin = strings.NewReader(strings.Join(names, "\n"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	mangled := 0
	for i, want := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		if got := demangled(names[i]); got != want {
			t.Errorf("%s is %s, c++filt says %s", names[i], got, want)
		}
		if want != names[i] {
			mangled++
		}
	}
	if mangled < 7 {
		t.Errorf("the program has %d mangled names, too few", mangled)
	}
}

const rustSource = `
mod inner {
    pub struct Holder<T> { pub value: T }
    impl<T: Copy + std::fmt::Display> Holder<T> {
        #[inline(never)] pub fn show(&self) -> String { format!("{}", self.value) }
    }
    pub trait Speak { fn speak(&self) -> usize; }
    impl Speak for Holder<u32> { #[inline(never)] fn speak(&self) -> usize { self.value as usize } }
}
use inner::Speak;
#[inline(never)] fn plain(n: usize) -> usize { n * 2 }
fn main() {
    let h = inner::Holder { value: std::env::args().count() as u32 };
    println!("{} {} {}", h.show(), h.speak(), plain(std::env::args().count()));
}
`

func TestDemangleRust(t *testing.T) {
	for mangling, want := range map[string][]string{
		"legacy": {"program_under_test::plain", "program_under_test::inner::Holder<T>::show",
			"<program_under_test::inner::Holder<u32> as program_under_test::inner::Speak>::speak"},
		"v0": {"program_under_test::plain", "<program_under_test::inner::Holder<u32>>::show",
			"<program_under_test::inner::Holder<u32> as program_under_test::inner::Speak>::speak"},
	} {
		t.Run(mangling, func(t *testing.T) {
			flags := []string{"-O", "--crate-name", "program_under_test", "-C", "symbol-mangling-version=" + mangling}
			if mangling == "legacy" {
				flags = append(flags, "-Z", "unstable-options")
				t.Setenv("RUSTC_BOOTSTRAP", "1")
			}
			found := make(map[string]bool)
			for _, name := range functionNames(t, "p.rs", rustSource, "rustc", flags...) {
				found[demangled(name)] = true
			}
			for _, name := range want {
				if !found[name] {
					t.Errorf("no function is named %s; of the program there are %q", name, own(found))
				}
			}
		})
	}
}

// own returns the names that speak of the program under test.
func own(found map[string]bool) (names []string) {
	for name := range found {
		if strings.Contains(name, "program_under_test") {
			names = append(names, name)
		}
	}
	return names
}

func TestDemangleOthers(t *testing.T) {
	for name, want := range map[string]string{
		"main":                          "main",
		"_Z":                            "_Z",
		"_Znot_a_name":                  "_Znot_a_name",
		"_ZN":                           "_ZN",
		"memcpy@@GLIBC_2.14":            "memcpy",
		"memcpy@GLIBC_2.2.5":            "memcpy",
		"_ZNSs4swapERSs@@GLIBCXX_3.4":   "std::string::swap(std::string&)",
		"@":                             "@",
		"_Z3fooi.cold":                  "foo(int) [clone .cold]",
		"_Z" + strings.Repeat("N", 1e5): "_Z" + strings.Repeat("N", 1e5),
	} {
		if got := demangled(name); got != want {
			t.Errorf("%.60s is %.60s, want %.60s", name, got, want)
		}
	}
}

// TestDemangleBomb demangles names made to explode: each substitution repeats
// all before it.
func TestDemangleBomb(t *testing.T) {
	name := "_Z1fI1aE"
	for range 60 {
		name = strings.Replace(name, "1a", "St4pairI1aS_E", 1)
	}
	for _, name := range []string{name, "_Z1f" + strings.Repeat("PFvS_", 700) + "E"} {
		if n := len(demangled(name)); n > 1<<maxDemangledBits+len(name) {
			t.Errorf("%d bytes from %d", n, len(name))
		}
	}
}

func TestGoName(t *testing.T) {
	for name, want := range map[string]string{
		"main.main": "main.main",
		"slices.SortFunc[go.shape.[]int,go.shape.int]": "slices.SortFunc[...]",
		"main.(*list[go.shape.string]).add.func1":      "main.(*list[...]).add.func1",
		"odd]name[": "odd]name[",
	} {
		if got := goName(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for name, want := range map[string]string{
		"main.(*T).f":         "main.(*T).f",
		"überladen·1":         "überladen·1",
		"a\x1b[31mb\nc\x00":   "a?[31mb?c?",
		"\xff\xfe":            "??",
		"right\u202eto left":  "right?to left",
		"operator new[](int)": "operator new[](int)",
	} {
		if got := clean(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}
