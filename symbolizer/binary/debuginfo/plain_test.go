package debuginfo_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
)

// TestPlainRangesAreRanges asks for the ranges of this machine's libraries in both ways.
func TestPlainRangesAreRanges(t *testing.T) {
	var paths []string
	for _, pattern := range []string{"/usr/lib/*/*.so*", "/usr/lib/*/ld-*.so*", "/usr/bin/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	plain, count := 0, 0
	for _, path := range paths {
		if plain == 150 {
			break
		}
		n, ok := comparePlain(t, path)
		if ok && n > 0 {
			plain++
			count += n
		}
	}
	if plain == 0 {
		t.Skip("no library without debug information is here")
	}
	t.Logf("%d files, %d ranges", plain, count)
}

func comparePlain(t *testing.T, path string) (count int, plain bool) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > 30<<20 {
		return 0, false
	}
	opened, err := binary.Open(file, info.Size())
	if err != nil {
		return 0, false
	}
	table := debuginfo.Open(opened, debuginfo.Options{})
	if !table.Plain() {
		return 0, false
	}
	type piece struct {
		low, high uint64
		name      string
		source    debuginfo.Source
	}
	var want []piece
	for r, err := range table.Ranges() {
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		want = append(want, piece{r.Low, r.High, r.Scope.Function, r.Scope.Source})
	}
	for r, err := range table.PlainRanges() {
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got := piece{r.Low, r.High, string(r.Name), r.Source}
		if count >= len(want) || got != want[count] {
			t.Fatalf("%s: range %d is %v, not among %v", path, count, got, want[max(0, count-1):min(count+1, len(want))])
		}
		count++
	}
	if count != len(want) {
		t.Fatalf("%s: %d ranges, not %d", path, count, len(want))
	}
	return count, true
}
