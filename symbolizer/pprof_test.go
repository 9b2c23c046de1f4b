package symbolizer_test

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
)

// buildGo builds the program that the tests of the Go table run, and returns
// where its functions are. symbols says whether the file keeps its symbols.
func buildGo(t testing.TB, symbols bool) (path string, at map[string]uint64) {
	t.Helper()
	tool(t, "go")
	path = filepath.Join(t.TempDir(), "goprogram")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = filepath.Join("binary", "testdata", "goprogram")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	at = addresses(t, path)
	if !symbols {
		run(t, "strip", path)
	}
	return path, at
}

// inlinedPlaces returns addresses of main.genericCall, in some of which
// functions are inlined.
func inlinedPlaces(m *profile.Mapping, at map[string]uint64) (places []place) {
	for name, addr := range at {
		if strings.HasPrefix(name, "main.genericCall[") {
			for i := range uint64(64) {
				places = append(places, place{m, addr + i})
			}
		}
	}
	return places
}

// TestPprof shows a profile to go tool pprof.
func TestPprof(t *testing.T) {
	path, at := buildGo(t, false)
	c := compileC(t)
	cAt := addresses(t, c)
	m, cm := mapping(t, path, at["main.main"]), mapping(t, c, cAt["main"])
	p := newProfile(append(inlinedPlaces(m, at), place{m, at["main.recursive"]}, place{cm, cAt["static_function"]},
		place{cm, cAt["inner_label"] + 3}, place{nil, 1})...)
	symbolize(t, symbolizer.New(symbolizer.Config{Binaries: &files{}}), p)
	if !m.HasFunctions || !m.HasFilenames || !m.HasLineNumbers || !m.HasInlineFrames {
		t.Errorf("the Go mapping says functions %t, files %t, lines %t, inlining %t; want all",
			m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames)
	}
	// One stack with everything in it.
	p.Sample = append(p.Sample, &profile.Sample{Location: p.Location, Value: []int64{1}})
	out := filepath.Join(t.TempDir(), "cpu.pb.gz")
	file, err := os.OpenFile(out, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PPROF_TMPDIR", t.TempDir())
	placeholder := fmt.Sprintf("[functions+%#x]", cAt["inner_label"]+3)
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"-top"}, []string{"main.recursive", "static_function", placeholder, "[unknown]", "main.generic[...] (inline)"}},
		{[]string{"-traces"}, []string{"main.genericCall[...]", "main.generic[...]", "static_function"}},
		{[]string{"-list", `main\.recursive`}, []string{"ROUTINE ======================== main.recursive in", "func recursive(n int) {"}},
		{[]string{"-lines", "-top"}, []string{"goprogram/main.go:"}},
	} {
		got := run(t, "go", append(append([]string{"tool", "pprof"}, test.args...), out)...)
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("go tool pprof %v does not show %q:\n%s", test.args, want, got)
			}
		}
	}
}

// TestGoWithUnknownTable gives a Go program a table of a version that does not
// exist: its debug information names its frames, and without that the reason is
// told.
func TestGoWithUnknownTable(t *testing.T) {
	for _, symbols := range []bool{true, false} {
		path, at := buildGo(t, symbols)
		breakTable(t, path)
		m := mapping(t, path, at["main.main"])
		p := newProfile(place{m, at["main.recursive"] + 1})
		stats := symbolize(t, symbolizer.New(symbolizer.Config{Binaries: &files{}}), p)
		if symbols {
			if got := names(p)[0]; got != "main.recursive" || !m.HasLineNumbers {
				t.Errorf("named %q, lines %t; want what its debug information has", got, m.HasLineNumbers)
			}
			continue
		}
		want := fmt.Sprintf("[goprogram+%#x]", at["main.recursive"]+1)
		if got := names(p)[0]; got != want || stats.Binaries[0].Unnamed[symbolizer.UnknownGoTable] != 1 {
			t.Errorf("named %q with %v; want %q, because of the table", got, stats.Binaries, want)
		}
	}
}

func breakTable(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte{0xf5}, int64(f.Section(".gopclntab").Offset)); err != nil {
		t.Fatal(err)
	}
}
