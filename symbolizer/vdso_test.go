package symbolizer_test

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// vdso returns the image that the kernel mapped into this process and where it
// is, or skips the test.
func vdso(t *testing.T) (image []byte, start uint64) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skipf("no list of mappings: %v", err)
	}
	for line := range strings.Lines(string(maps)) {
		var end uint64
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			t.Fatal(err)
		}
		memory, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Skipf("own memory cannot be read: %v", err)
		}
		defer memory.Close()
		image = make([]byte, end-start)
		if _, err := memory.ReadAt(image, int64(start)); err != nil {
			t.Fatal(err)
		}
		return image, start
	}
	t.Skip("this kernel maps no vDSO")
	return nil, 0
}

// TestVDSO names the functions of this kernel's vDSO, whose bytes come from
// memory.
func TestVDSO(t *testing.T) {
	image, start := vdso(t)
	f, err := binary.Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	reference, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := reference.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	m := &profile.Mapping{Start: start, Limit: start + uint64(len(image)), File: "[vdso]", BuildID: f.BuildID()}
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Size == 0 {
			continue
		}
		aliases := make(map[string]bool)
		for _, other := range symbols {
			aliases[other.Name] = aliases[other.Name] || other.Value == s.Value
		}
		p := newProfile(place{m, start + s.Value + s.Size - 1})
		symbolize(t, symbolizer.New(symbolizer.Config{Binaries: reader{bytes.NewReader(image)}}), p)
		if !aliases[names(p)[0]] {
			t.Errorf("the last byte of %s is named %q", s.Name, names(p)[0])
		}
	}
}

// reader is a Binaries of one image.
type reader struct{ *bytes.Reader }

func (r reader) Binary(*profile.Mapping) (io.ReaderAt, int64, error) { return r, r.Size(), nil }
