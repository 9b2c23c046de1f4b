package binary_test

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// TestFindFunctions compares with debug/elf, in libraries and in a static program, where a
// name may be the end of another one.
func TestFindFunctions(t *testing.T) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc")
	}
	dir := t.TempDir()
	build := exec.Command(gcc, "-static", "-x", "c", "-o", filepath.Join(dir, "static"), "-")
	build.Stdin = strings.NewReader("#include <stdlib.h>\nint main(void) { free(malloc(1)); return 0; }")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	names := []string{"malloc", "calloc", "free", "__libc_malloc", "aligned_alloc", "posix_memalign", "no such function", "main"}
	found := 0
	for _, path := range []string{filepath.Join(dir, "static"), "/lib/x86_64-linux-gnu/libc.so.6", "/lib/ld-musl-x86_64.so.1"} {
		file, err := elf.Open(path)
		if err != nil {
			continue
		}
		defer file.Close()
		static, _ := file.Symbols() // an error says that there are none
		dynamic, _ := file.DynamicSymbols()
		got, err := openFile(t, path).FindFunctions(names...)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			want := map[binary.Function]bool{}
			for _, s := range append(static, dynamic...) {
				plain, _, _ := strings.Cut(s.Name, "@")
				if plain == name && s.Size > 0 && s.Section != elf.SHN_UNDEF && (elf.ST_TYPE(s.Info) == elf.STT_FUNC || elf.ST_TYPE(s.Info) == elf.STT_GNU_IFUNC) {
					want[binary.Function{Start: s.Value, End: s.Value + s.Size}] = true
				}
			}
			if f, ok := got[name]; ok != (len(want) > 0) || ok && !want[f] {
				t.Errorf("%s of %s: %+v, want one of %v", name, path, f, want)
			} else if ok {
				found++
			}
		}
	}
	if found < 6 {
		t.Errorf("%d functions were looked for in vain or found", found)
	}
}
