package unwind_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// buildGo builds testdata/gostacks.
func buildGo(t testing.TB, environment ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command(tool(t, "go"), "build", "-o", out, ".")
	cmd.Dir = filepath.Join("testdata", "gostacks")
	cmd.Env = append(os.Environ(), append([]string{"GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0"}, environment...)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("building a Go program: %v\n%s", err, text)
	}
	return out
}

// TestGoAgainstDebugFrame compares the rows of Go programs, row by row, with what
// their linker wrote into .debug_frame, as readelf understands it. That says
// nothing of the frame pointer.
func TestGoAgainstDebugFrame(t *testing.T) {
	variants := map[string][]string{"local": {}, "local, cgo": {"CGO_ENABLED=1"}}
	if os.Getenv("NARROWS_TEST_FULL") != "" {
		for _, version := range []string{"go1.20.14", "go1.21.13", "go1.22.12", "go1.23.12", "go1.24.11", "go1.25.5"} {
			variants[version] = []string{"GOTOOLCHAIN=" + version}
		}
		variants["local, PIE"] = []string{"GOFLAGS=-buildmode=pie"}
		variants["local, arm64"] = []string{"GOARCH=arm64"}
		variants["go1.20.14, arm64"] = []string{"GOTOOLCHAIN=go1.20.14", "GOARCH=arm64"}
		variants["go1.23.12, arm64"] = []string{"GOTOOLCHAIN=go1.23.12", "GOARCH=arm64"}
	}
	for name, environment := range variants {
		t.Run(name, func(t *testing.T) {
			path := buildGo(t, environment...)
			file, err := openELF(t, path)
			if err != nil {
				t.Fatal(err)
			}
			m := describers[file.Machine()]
			table := compileFile(t, path)
			if !table.KeepsFramePointers {
				t.Error("it is not said that Go keeps frame pointers")
			}
			golang, err := file.GoTable()
			if err != nil {
				t.Fatal(err)
			}
			compared, apart, wrong := 0, 0, 0
			for _, code := range readelfSection(t, path, ".debug_frame", m.fp) {
				for i, want := range code.rows {
					last := i+1 < len(code.rows) && code.rows[i+1].loc == want.loc || want.loc >= code.end
					if last || !golang.Covers(want.loc) {
						continue
					}
					switch ok, compare := m.agreesGo(table, want); {
					case !compare:
						apart++
					case !ok:
						if wrong++; wrong <= 10 {
							t.Errorf("%#x is %s, .debug_frame says %+v", want.loc, m.describe(table, want.loc), want)
						}
					default:
						compared++
					}
				}
			}
			t.Logf("%d rows agree, %d of functions that set SP, or of roots, %d disagree", compared, apart, wrong)
			if compared < 8_000 || apart > compared/50 {
				t.Errorf("%d rows compared, %d not: too few to show anything", compared, apart)
			}
		})
	}
}

// agreesGo compares a row but for the frame pointer. Functions that set the stack
// pointer as they like, of which the linker knows no better, are set apart.
func (m describer) agreesGo(t *unwind.Table, want readelfRow) (ok, compare bool) {
	row := t.Lookup(want.loc)
	switch row.Kind &^ unwind.InLinkRegister {
	case unwind.KindEnd, unwind.KindFP, unwind.KindSignal:
		return true, false
	case unwind.KindSP:
		if want.fp = ""; row.FP != 0 {
			want.fp = fmt.Sprintf("c%+d", int(row.FP)*8)
		}
	case unwind.KindWide:
		w := t.Wide[uint16(row.CFA)]
		if w.Flags&unwind.WideInexpressible != 0 {
			return true, false
		}
		if want.fp = ""; w.Flags&unwind.WideFPSaved != 0 {
			want.fp = fmt.Sprintf("c%+d", w.FP)
		}
	}
	ok, _ = m.agrees(t, want.loc, want)
	if !ok && m.linked && row.Kind == unwind.KindSP && want.cfa == fmt.Sprintf("sp%+d", row.CFA*8) {
		// The linker takes the return address to be at SP everywhere; some assembly
		// moves SP further for a call.
		return true, false
	}
	if !ok && m.linked && want.ra == "u" {
		return true, false // sigtramp, to the linker a root
	}
	return ok, true
}
