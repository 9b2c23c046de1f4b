package unwind_test

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// TestRestorer looks for the code that signals return to where no description
// says that it is that: in a static program, as of musl.
func TestRestorer(t *testing.T) {
	source := filepath.Join(t.TempDir(), "restorer.S")
	text := `	.globl	_start, restorer, restorer_end, other
_start:	.cfi_startproc
	nop
	.cfi_endproc
	mov	$15, %r8d	# an argument of 15, and another system call
other:	syscall
	nop
restorer:
	mov	$15, %rax
	syscall
restorer_end:
	nop
`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "restorer")
	run(t, "gcc", "-nostdlib", "-static", "-o", path, source)
	checkRestorer(t, path, compileFile(t, path), "restorer")
	if got := compileFile(t, path).Lookup(symbol(t, path, "other")); got.Kind != unwind.KindNone {
		t.Errorf("another system call is %v", got)
	}
}

// TestRestorerOfGo does it for a Go program.
func TestRestorerOfGo(t *testing.T) {
	path := buildGo(t)
	name := "runtime.sigreturn__sigaction.abi0"
	if symbol(t, path, name) == 0 {
		t.Skipf("this Go has no %s", name)
	}
	checkRestorer(t, path, compileFile(t, path), name)
}

// checkRestorer checks that the code is known for what it is: return addresses
// are looked up by the byte before them.
func checkRestorer(t *testing.T, path string, table *unwind.Table, name string) {
	t.Helper()
	start := symbol(t, path, name)
	for addr := start - 1; addr < start+9; addr++ {
		if got := table.Lookup(addr); got.Kind != unwind.KindSignal {
			t.Errorf("%s%+d is %v", name, int64(addr-start), got)
		}
	}
	if got := table.Lookup(start - 2); got.Kind == unwind.KindSignal {
		t.Errorf("two bytes before %s is %v", name, got)
	}
	checkTable(t, table)
}

func symbol(t *testing.T, path, name string) uint64 {
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
	for _, s := range symbols {
		if s.Name == name {
			return s.Value
		}
	}
	return 0
}

// TestVDSO compares the rows of this kernel's vDSO, whose bytes come from memory.
func TestVDSO(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(maps)) {
		var start, end uint64
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			t.Fatal(err)
		}
		memory, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Skip(err)
		}
		defer memory.Close()
		image := make([]byte, end-start)
		if _, err := memory.ReadAt(image, int64(start)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "vdso")
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		v := againstReadelf(t, path)
		t.Logf("%d rows compared, %d disagreements", v.rows, v.wrong)
		if v.rows < 10 {
			t.Errorf("%d rows, too few to show anything", v.rows)
		}
		return
	}
	t.Skip("this kernel maps no vDSO")
}
