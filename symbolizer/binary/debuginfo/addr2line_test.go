package debuginfo_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ianlancetaylor/demangle"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
)

// A reference is what another tool says of an address.
type reference struct {
	function string // "" if not known
	file     string // its last element; "" if not known
	line     int
}

// addr2line returns what binutils says of addresses, innermost first.
func addr2line(t testing.TB, path string, addresses []uint64) [][]reference {
	t.Helper()
	var input bytes.Buffer
	for _, addr := range addresses {
		fmt.Fprintf(&input, "%#x\n", addr)
	}
	cmd := exec.Command(tool(t, "addr2line"), "-a", "-f", "-i", "-e", path)
	cmd.Stdin, cmd.Stderr = &input, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("addr2line: %v", err)
	}
	var all [][]reference
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "0x") {
			all = append(all, nil)
			continue
		}
		r := reference{function: strings.TrimSuffix(lines.Text(), "??")}
		if !lines.Scan() {
			t.Fatal("addr2line ended within an answer")
		}
		r.file, r.line = place(lines.Text())
		all[len(all)-1] = append(all[len(all)-1], r)
	}
	if len(all) != len(addresses) {
		t.Fatalf("addr2line answered %d of %d addresses", len(all), len(addresses))
	}
	return all
}

// place splits "file:line (discriminator n)".
func place(text string) (file string, line int) {
	text, _, _ = strings.Cut(text, " (discriminator")
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return "", 0
	}
	line, _ = strconv.Atoi(text[i+1:])
	if file = filepath.Base(text[:i]); file == "??" {
		file = ""
	}
	return file, line
}

// clone matches what compilers append to the names of functions that they have
// copied, split or renamed; DWARF has the names without it.
var clone = regexp.MustCompile(`(\.(isra|constprop|part|cold|lto_priv|llvm|localalias|warm)(\.?[0-9]+)*|@.*)+$`)

func bare(name string) string { return clone.ReplaceAllString(name, "") }

// agreement counts how frames compare with a reference.
type agreement struct {
	same, missing, more, unknown, wrong int
	otherStack                          int // the innermost agrees, not the rest
	lines, otherLines                   int
}

func (a agreement) String() string {
	return fmt.Sprintf("names: %d agree, %d wrong, %d missing, %d known here only, %d unknown to both; %d of those that agree have other callers; lines: %d agree, %d differ",
		a.same, a.wrong, a.missing, a.more, a.unknown, a.otherStack, a.lines, a.otherLines)
}

// same says whether a name here is the reference's. Where DWARF has no linkage name
// of a function, here it has the name that DWARF does have, within those of its
// namespaces, while addr2line takes either its last part or the mangled name of a
// symbol.
func same(here, reference string) bool {
	here, reference = plain(here), plain(reference)
	return here == reference || strings.HasSuffix(here, "::"+reference) || strings.HasSuffix(reference, "::"+here)
}

// plain is a name demangled and without parameters, template arguments and what
// compilers append to copies.
func plain(name string) string {
	name = demangle.Filter(bare(name), demangle.NoParams, demangle.NoTemplateParams, demangle.NoClones)
	name = strings.ReplaceAll(name, "operator<", "operator\x00")
	name = strings.ReplaceAll(name, "operator\x00<", "operator\x00\x00")
	name = strings.ReplaceAll(strings.ReplaceAll(name, "operator>", "operator\x01"), "->", "-\x01")
	depth, out := 0, strings.Builder{}
	for _, c := range name {
		switch {
		case c == '<':
			depth++
		case c == '>':
			depth--
		case depth == 0:
			out.WriteRune(c)
		}
	}
	return out.String()
}

// shown bounds what is printed of each kind of disagreement.
const shown = 8

func (a *agreement) compare(t testing.TB, addr uint64, got []debuginfo.Frame, want []reference) {
	t.Helper()
	known := len(want) > 0 && want[0].function != ""
	switch {
	case len(got) == 0 && !known:
		a.unknown++
		return
	case len(got) == 0:
		if a.missing++; a.missing < shown {
			t.Logf("%#x: missing, addr2line: %v", addr, want)
		}
		return
	case !known:
		a.more++
		return
	case !same(got[0].Function, want[0].function):
		if a.wrong++; a.wrong < shown {
			t.Errorf("%#x: %s, addr2line: %v", addr, stack(got), want)
		}
		return
	}
	a.same++
	if !sameStack(got, want) {
		if a.otherStack++; a.otherStack < shown {
			t.Logf("%#x: %s, addr2line: %v", addr, stack(got), want)
		}
	}
	if got[0].Line == 0 || want[0].line == 0 || want[0].file == "" {
		return
	}
	if filepath.Base(got[0].File) == want[0].file && got[0].Line == want[0].line {
		a.lines++
	} else if a.otherLines++; a.otherLines < shown {
		t.Logf("%#x: line %s:%d, addr2line: %s:%d", addr, got[0].File, got[0].Line, want[0].file, want[0].line)
	}
}

func sameStack(got []debuginfo.Frame, want []reference) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if !same(got[i].Function, want[i].function) {
			return false
		}
	}
	return true
}

// stack prints frames for a person.
func stack(frames []debuginfo.Frame) string {
	var text []string
	for _, f := range frames {
		text = append(text, fmt.Sprintf("%s %s:%d", plain(f.Function), filepath.Base(f.File), f.Line))
	}
	return strings.Join(text, " < ")
}

func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

func openFile(t testing.TB, path string) *binary.File {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := binary.Open(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return f
}
