package fault

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/core"
)

// Memory that this thread touches is counted while the programs are attached, and not after.
func TestTotalsCount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loading eBPF programs needs root")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("page faults have tracepoints on x86-64 only")
	}
	shared, err := core.Load(0)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	if err := shared.ForgetStacks(); err != nil {
		t.Fatal(err)
	}
	w, err := Open(shared)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	before, err := w.Totals()
	if err != nil {
		t.Fatal(err)
	}
	const pages = 4096
	touch(t, pages)
	after, err := w.Totals()
	if err != nil {
		t.Fatal(err)
	}
	// Others have faults as well.
	if seen := after.Since(before); seen.Faults < pages || seen.Bytes < pages*uint64(os.Getpagesize()) {
		t.Errorf("%+v after %d pages", seen, pages)
	}
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	if before, err = w.Totals(); err != nil {
		t.Fatal(err)
	}
	touch(t, pages)
	if after, err = w.Totals(); err != nil || after != before {
		t.Errorf("%+v counted after the end, %v", after.Since(before), err)
	}
	if before == (Totals{}) {
		t.Error("nothing is left of what was counted")
	}
}

// touch makes pages resident and gives them back.
func touch(t *testing.T, pages int) {
	t.Helper()
	size := os.Getpagesize()
	memory, err := unix.Mmap(-1, 0, pages*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Madvise(memory, unix.MADV_NOHUGEPAGE); err != nil {
		t.Fatal(err)
	}
	for i := range pages {
		memory[i*size] = 1
	}
	if err := unix.Munmap(memory); err != nil {
		t.Fatal(err)
	}
}
