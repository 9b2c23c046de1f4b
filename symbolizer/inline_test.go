package symbolizer_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// compileCC compiles a C++ program with much to inline.
func compileCC(t testing.TB) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	run(t, "g++", "-O2", "-g", "-o", out, filepath.Join("binary", "debuginfo", "testdata", "program.cc"))
	return out
}

// codeAddresses returns random addresses of a program's own code.
func codeAddresses(t testing.TB, path string, n int) []uint64 {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text := f.Section(".text")
	random := rand.New(rand.NewPCG(3, 4))
	addresses := make([]uint64, n)
	for i := range addresses {
		addresses[i] = text.Addr + random.Uint64N(text.Size)
	}
	return addresses
}

// TestInlined checks that locations have a line for each function inlined there,
// innermost first, with the names for people that addr2line prints.
func TestInlined(t *testing.T) {
	path := compileCC(t)
	addresses := codeAddresses(t, path, 1000)
	p := profileOf(t, path, addresses)
	stats := symbolize(t, symbolizer.New(symbolizer.Config{Binaries: &files{}}), p)
	if m := p.Mapping[0]; !m.HasFunctions || !m.HasFilenames || !m.HasLineNumbers || !m.HasInlineFrames {
		t.Errorf("the mapping says functions %t, files %t, lines %t, inlining %t", m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames)
	}
	if b := stats.Binaries[0]; b.Frames < b.Named*3/2 {
		t.Errorf("%d frames at %d addresses: too few to show anything", b.Frames, b.Named)
	}
	compared := 0
	for i, want := range demangledByAddr2line(t, path, addresses) {
		lines := p.Location[i].Line
		if len(lines) != len(want) {
			continue // padding, and what addr2line names after the nearest symbol
		}
		for k, line := range lines {
			if !strings.HasPrefix(line.Function.SystemName, "_Z") || strings.Contains(want[k], "[clone") ||
				strings.Contains(line.Function.SystemName, "CI4") {
				// addr2line has only the last part of other names, and calls inherited
				// constructors after the class that they were inherited from.
				continue
			}
			compared++
			if spaceless(line.Function.Name) != spaceless(want[k]) {
				t.Errorf("%#x, frame %d: %s is %q, addr2line: %q", addresses[i], k, line.Function.SystemName, line.Function.Name, want[k])
			}
		}
	}
	if compared < 500 {
		t.Errorf("%d names were compared: too few to show anything", compared)
	}
}

// spaceless is a name without spaces: demanglers differ in those between closing
// angle brackets.
func spaceless(name string) string { return strings.ReplaceAll(name, " ", "") }

func profileOf(t testing.TB, path string, addresses []uint64) *profile.Profile {
	t.Helper()
	m := mapping(t, path, addresses[0])
	var places []place
	for _, addr := range addresses {
		places = append(places, place{m, addr})
	}
	return newProfile(places...)
}

// demangledByAddr2line returns the functions at addresses, innermost first.
func demangledByAddr2line(t testing.TB, path string, addresses []uint64) [][]string {
	t.Helper()
	var input bytes.Buffer
	for _, addr := range addresses {
		fmt.Fprintf(&input, "%#x\n", addr)
	}
	cmd := exec.Command("addr2line", "-a", "-f", "-i", "-C", "-e", path)
	cmd.Stdin = &input
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("needs addr2line: %v", err)
	}
	var all [][]string
	for i, lines := 0, strings.Split(strings.TrimSpace(string(out)), "\n"); i < len(lines); i++ {
		if strings.HasPrefix(lines[i], "0x") {
			all = append(all, nil)
			continue
		}
		all[len(all)-1] = append(all[len(all)-1], lines[i])
		i++ // the place
	}
	return all
}

// debugFiles finds a debug file by path.
type debugFiles struct {
	path   string
	opened int
	closed int
}

func (d *debugFiles) DebugFile(_ *profile.Mapping, want binary.DebugLink) (io.ReaderAt, int64, error) {
	if want.BuildID == "" {
		return nil, 0, errors.New("asked for no build ID")
	}
	file, err := os.Open(d.path)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	d.opened++
	return closing{file, &d.closed}, info.Size(), err
}

type closing struct {
	*os.File
	closed *int
}

func (c closing) Close() error {
	*c.closed++
	return c.File.Close()
}

// TestDebugFile checks that a stripped program has all names with its debug file,
// that another program's is refused, and that what is opened is closed.
func TestDebugFile(t *testing.T) {
	path := compileCC(t)
	dir := t.TempDir()
	debug, stripped := filepath.Join(dir, "program.debug"), filepath.Join(dir, "program")
	run(t, "objcopy", "--only-keep-debug", "--compress-debug-sections", path, debug)
	run(t, "objcopy", "--strip-all", path, stripped)
	addresses := codeAddresses(t, path, 300)
	whole := profileOf(t, path, addresses)
	symbolize(t, symbolizer.New(symbolizer.Config{Binaries: &files{}}), whole)
	for name, test := range map[string]struct {
		path string
		same bool
	}{"its own": {debug, true}, "another's": {compileC(t), false}, "none": {filepath.Join(dir, "missing"), false}} {
		t.Run(name, func(t *testing.T) {
			found := &debugFiles{path: test.path}
			s := symbolizer.New(symbolizer.Config{Binaries: &files{}, DebugFiles: found})
			p := profileOf(t, stripped, addresses)
			symbolize(t, s, p)
			if got, want := strings.Join(names(p), "\n"), strings.Join(names(whole), "\n"); (got == want) != test.same {
				t.Errorf("the same names as with everything: %t, want %t", got == want, test.same)
			}
			if err := s.Close(); err != nil || found.opened != found.closed {
				t.Errorf("%d debug files were opened and %d closed, %v", found.opened, found.closed, err)
			}
		})
	}
}
