package binary_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// TestContents compares contents of sections with debug/elf's, compressed ones
// among them.
func TestContents(t *testing.T) {
	path := compileC(t, "-O1", "-g", "-gz=zlib")
	f := openFile(t, path)
	reference, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reference.Close()
	compressed := 0
	for _, name := range []string{".text", ".eh_frame", ".debug_info", ".debug_str"} {
		want := reference.Section(name)
		data, err := want.Data()
		if err != nil {
			t.Fatal(err)
		}
		if want.Flags&elf.SHF_COMPRESSED != 0 {
			compressed++
			if _, err := f.Contents(name, len(data)-1); !errors.Is(err, binary.ErrTooLarge) {
				t.Errorf("%s, limited to less than it has: %v, want ErrTooLarge", name, err)
			}
		}
		s, err := f.Contents(name, len(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := io.ReadAll(io.NewSectionReader(s, 0, int64(s.Size)))
		if err != nil || !bytes.Equal(got, data) || s.Addr != want.Addr {
			t.Errorf("%s at %#x has %d bytes, %v; want %d at %#x", name, s.Addr, len(got), err, len(data), want.Addr)
		}
	}
	if compressed == 0 {
		t.Error("no section was compressed")
	}
	if _, err := f.Contents(".none", 0); !errors.Is(err, binary.ErrNoSection) {
		t.Errorf("a section that is not there: %v", err)
	}
}

// scratchFile is a scratch in memory that knows how much it took.
type scratchFile struct{ bytes.Buffer }

func (s *scratchFile) ReadAt(data []byte, off int64) (int, error) {
	return bytes.NewReader(s.Buffer.Bytes()).ReadAt(data, off)
}

// TestScratch checks that a large compressed section takes no memory where there is a
// scratch, whatever the limit, and is the same.
func TestScratch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	var source strings.Builder
	source.WriteString("int main(void) { return 0; }\n")
	for i := range 15_000 {
		fmt.Fprintf(&source, "struct s%d { int a, b, c; } v%d;\n", i, i)
	}
	cmd := exec.Command("gcc", "-g", "-gz=zlib", "-x", "c", "-o", path, "-")
	cmd.Stdin = strings.NewReader(source.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("needs gcc: %v\n%s", err, out)
	}
	f := openFile(t, path)
	want, err := f.Contents(".debug_info", 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if want.Size < 512<<10 {
		t.Fatalf(".debug_info has only %d bytes", want.Size)
	}
	var made []*scratchFile
	f = f.WithScratch(func() (binary.Scratch, error) {
		made = append(made, &scratchFile{})
		return made[len(made)-1], nil
	})
	got, err := f.Contents(".debug_info", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.Held != 0 || len(made) != 1 || made[0].Buffer.Len() != int(want.Size) {
		t.Errorf("%d bytes are held, %d scratches were made", got.Held, len(made))
	}
	before, err := io.ReadAll(io.NewSectionReader(want, 0, int64(want.Size)))
	if err != nil {
		t.Fatal(err)
	}
	after, err := io.ReadAll(io.NewSectionReader(got, 0, int64(got.Size)))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("what comes back is not what was decompressed: %v", err)
	}
}

// TestLoaded checks what a loader puts at addresses, and where the unwind header
// is.
func TestLoaded(t *testing.T) {
	path := compileC(t, "-O1")
	f := openFile(t, path)
	reference, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reference.Close()
	header := reference.Section(".eh_frame_hdr")
	if addr, ok := f.FrameHeader(); !ok || addr != header.Addr {
		t.Errorf("the unwind header is at %#x, %t; want %#x", addr, ok, header.Addr)
	}
	want, err := header.Data()
	if err != nil {
		t.Fatal(err)
	}
	s, ok := f.Loaded(header.Addr)
	got := make([]byte, len(want))
	if _, err := s.ReadAt(got, 0); !ok || err != nil || !bytes.Equal(got, want) {
		t.Errorf("% x is loaded, %t, %v; want % x", got, ok, err, want)
	}
	if _, ok := f.Loaded(1 << 40); ok {
		t.Error("something is loaded where nothing is")
	}
	if len(f.Executables()) != 1 || f.Machine() != uint16(reference.Machine) || !f.Wide() {
		t.Errorf("%d executable segments, machine %d, wide %t", len(f.Executables()), f.Machine(), f.Wide())
	}
}

// TestNeeds asks programs whether they need libraries.
func TestNeeds(t *testing.T) {
	for flag, want := range map[string]bool{"-O1": true, "-static": false, "-static-pie": false} {
		if got, err := openFile(t, compileC(t, flag)).Needs(); got != want || err != nil {
			t.Errorf("linked with %s: %t, %v; want %t", flag, got, err, want)
		}
	}
}
