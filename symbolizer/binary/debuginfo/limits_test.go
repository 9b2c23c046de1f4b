package debuginfo_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
)

// TestLittleMemory checks that units are forgotten and read again where all of them
// would take too much, and that what is too large for the limit has no names, never
// other ones.
func TestLittleMemory(t *testing.T) {
	path := program{build: []string{"rustc", "-g", "-O", "program.rs"}}.compile(t)
	f := openFile(t, path)
	addresses := sampled(f, 300)
	all := debuginfo.Open(f, debuginfo.Options{})
	for _, limit := range []int{64 << 10, 1 << 20} {
		little := debuginfo.Open(f, debuginfo.Options{MaxMemory: limit})
		equal := 0
		for _, addr := range addresses {
			want, err := all.Frames(addr)
			if err != nil {
				t.Fatal(err)
			}
			got, err := little.Frames(addr)
			switch {
			case slices.Equal(got, want):
				equal++
			case err == nil:
				t.Errorf("%#x with %d bytes: %s, want %s", addr, limit, stack(got), stack(want))
			case !errors.Is(err, binary.ErrTooLarge):
				t.Error(err)
			}
			if used := little.Memory(); used > 2*limit+1<<20 {
				t.Fatalf("%d bytes are used of %d", used, limit)
			}
		}
		t.Logf("with %d bytes %d of %d addresses have all frames", limit, equal, len(addresses))
		if limit == 1<<20 && equal != len(addresses) {
			t.Errorf("%d of %d addresses have all frames with %d bytes", equal, len(addresses), limit)
		}
	}
}

// TestSupplementaryFile gives a program debug information of which dwz has moved parts
// to a file that is shared with another program: functions whose names are there are
// left out, those around them have the line of the call. With that file, all is known.
func TestSupplementaryFile(t *testing.T) {
	tool(t, "dwz")
	first := program{build: []string{"g++", "-O2", "-g", "program.cc"}}.compile(t)
	second := filepath.Join(t.TempDir(), "second")
	data, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, data, 0o700); err != nil {
		t.Fatal(err)
	}
	whole := debuginfo.Open(openFile(t, second), debuginfo.Options{})
	f := openFile(t, second)
	addresses := sampled(f, 500)
	want := make([][]debuginfo.Frame, len(addresses))
	for i, addr := range addresses {
		if want[i], err = whole.Frames(addr); err != nil {
			t.Fatal(err)
		}
	}
	common := filepath.Join(t.TempDir(), "common")
	run(t, "dwz", "-m", common, first, second)
	f = openFile(t, second)
	table := debuginfo.Open(f, debuginfo.Options{})
	compared := 0
	for i, addr := range addresses {
		got, err := table.Frames(addr)
		if err != nil {
			t.Fatal(err)
		}
		if !within(got, want[i]) {
			t.Errorf("%#x: %s, of %s", addr, stack(got), stack(want[i]))
		}
		if len(got) > 0 {
			compared++
		}
	}
	if compared < len(addresses)/2 {
		t.Errorf("%d of %d addresses have names", compared, len(addresses))
	}
	if !slices.ContainsFunc(table.Problems(), func(err error) bool { return errors.Is(err, debuginfo.ErrElsewhere) }) {
		t.Errorf("nothing tells of the other file: %v", table.Problems())
	}
	checkRanges(t, table, addresses)

	table = debuginfo.Open(f, debuginfo.Options{Supplement: openSupplement(t, common, f)})
	for i, addr := range addresses {
		got, err := table.Frames(addr)
		if diff := cmp.Diff(want[i], got); err != nil || diff != "" {
			t.Errorf("%#x with the other file: %v (-before dwz +after):\n%s", addr, err, diff)
		}
	}
	if problems := table.Problems(); len(problems) > 0 {
		t.Errorf("with the other file: %v", problems)
	}
	checkRanges(t, table, addresses)
}

// openSupplement opens the supplementary file of a file, and checks that it is found by
// what the file says, and that another one is refused.
func openSupplement(t testing.TB, path string, of *binary.File) *binary.File {
	t.Helper()
	link, ok := of.SupplementLink()
	if !ok || link.Path != path {
		t.Fatalf("the link is %+v, %t, want one to %s", link, ok, path)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	other := link
	other.BuildID = strings.Repeat("ab", len(link.BuildID)/2)
	if _, err := binary.OpenSupplement(file, info.Size(), other); !errors.Is(err, binary.ErrOtherBinary) {
		t.Errorf("with another build ID: %v, want ErrOtherBinary", err)
	}
	opened, err := binary.OpenSupplement(file, info.Size(), link)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// within reports whether frames are some of all, in order, each with the line that it
// has there.
func within(frames, all []debuginfo.Frame) bool {
	for _, f := range frames {
		i := slices.IndexFunc(all, func(a debuginfo.Frame) bool {
			here, there := plain(f.Function), plain(a.Function)
			return a.Line == f.Line && a.File == f.File && (here == there || strings.HasSuffix(here, "::"+there) || strings.HasSuffix(there, "::"+here))
		})
		if i < 0 {
			return false
		}
		all = all[i+1:]
	}
	return true
}

// TestCgo checks that the Go part of a program is named by Go's table and its C part
// by DWARF, each with lines.
func TestCgo(t *testing.T) {
	path := buildGo(t, true)
	f := openFile(t, path)
	table := debuginfo.Open(f, debuginfo.Options{})
	sources := map[debuginfo.Source]int{}
	var addresses []uint64 // of what is not Go's
	c := 0
	for r, err := range table.Ranges() {
		if err != nil {
			t.Fatal(err)
		}
		sources[r.Scope.Source]++
		if r.Scope.Source == debuginfo.DWARF || r.Scope.Source == debuginfo.Symbol {
			addresses = append(addresses, r.Low, r.High-1)
		}
		if r.Scope.Source == debuginfo.DWARF && strings.HasSuffix(r.File, "cgo.go") && r.Line > 0 {
			c++
		}
	}
	if sources[debuginfo.GoTable] == 0 || sources[debuginfo.DWARF] == 0 || sources[debuginfo.Symbol] == 0 || sources[debuginfo.Stub] == 0 || c == 0 {
		t.Errorf("ranges by source: %v, %d of the program's own C", sources, c)
	}
	checkRanges(t, table, addresses)
	a := against(t, table, newJudge(t, path, addresses), path, addresses, addr2line(t, path, addresses))
	if a.same < len(addresses)/2 {
		t.Error("too little was compared to show anything")
	}
}

// TestNothing checks a file without any function.
func TestNothing(t *testing.T) {
	dir := t.TempDir()
	source, path := filepath.Join(dir, "nothing.c"), filepath.Join(dir, "nothing")
	if err := os.WriteFile(source, []byte("int nothing(int x) { return 7 * x; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "gcc", "-O2", "-s", "-static", "-nostdlib", "-Wl,-e,nothing", "-o", path, source)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := binary.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	table := debuginfo.Open(f, debuginfo.Options{})
	for s := range f.Code() {
		if frames, err := table.Frames(s.Low); err != nil || len(frames) > 0 {
			t.Errorf("%#x is named %v, %v", s.Low, frames, err)
		}
	}
	for r, err := range table.Ranges() {
		t.Errorf("code %+v has a function, %v", r, err)
	}
	if !table.Empty() || len(table.Problems()) > 0 {
		t.Errorf("empty %t, problems %v", table.Empty(), table.Problems())
	}
}
