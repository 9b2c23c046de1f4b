package debuginfo_test

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	if n, err := strconv.Atoi(text[i+1:]); err == nil && n > 0 { // the linker's own functions have negative ones
		line = n
	}
	if file = filepath.Base(text[:i]); file == "??" {
		file = ""
	}
	return file, line
}

// clone matches what compilers append to the names of functions that they have
// copied, split or renamed; DWARF has the names without it.
var clone = regexp.MustCompile(`(\.(isra|constprop|part|cold|lto_priv|llvm|localalias|warm)(\.?[0-9]+)*|@.*)+$`)

func bare(name string) string { return clone.ReplaceAllString(name, "") }

// agreement counts how frames compare with addr2line's.
type agreement struct {
	same, wrong, missing, more, unknown int // by the innermost function
	otherStack                          int // the innermost is the same, another is not
	lines, otherLines                   int
	// judged is how often another reader of the same tables says that addr2line is
	// wrong, and not what is found here.
	judged, judgedLines int
}

func (a agreement) String() string {
	return fmt.Sprintf("names: %d agree, %d wrong, %d missing, %d only known here, %d known to neither; other callers: %d; lines: %d agree, %d differ; addr2line was wrong of %d functions and %d lines",
		a.same, a.wrong, a.missing, a.more, a.unknown, a.otherStack, a.lines, a.otherLines, a.judged, a.judgedLines)
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

// compare counts one address. The judge may be nil where there is no DWARF.
func (a *agreement) compare(t testing.TB, j *judge, names aliases, addr uint64, got []debuginfo.Frame, want []reference) {
	t.Helper()
	known := len(want) > 0 && want[0].function != ""
	switch {
	case len(got) == 0 && !known:
		a.unknown++
		return
	case len(got) == 0:
		a.missing++
		return
	case !known:
		a.more++
	case sameStack(got, want), len(got) == 1 && len(want) == 1 && names.same(got[0].Function, want[0].function):
		a.same++
	default:
		a.differ(t, j, addr, got, want)
	}
	a.compareLine(t, j, addr, got[0], want[0])
}

// differ counts an address at which the stacks are not the same.
func (a *agreement) differ(t testing.TB, j *judge, addr uint64, got []debuginfo.Frame, want []reference) {
	t.Helper()
	verdict := errors.New("no judge")
	if j != nil {
		var names []string
		for _, f := range got {
			names = append(names, f.Function)
		}
		if verdict = j.agrees(addr, names); verdict == nil {
			a.judged++
			return
		}
	}
	count, report := &a.wrong, t.Errorf
	if same(got[0].Function, want[0].function) {
		count = &a.otherStack
	}
	if *count++; *count < shown {
		report("%#x: %s, addr2line: %v: %v", addr, stack(got), want, verdict)
	}
}

func (a *agreement) compareLine(t testing.TB, j *judge, addr uint64, got debuginfo.Frame, want reference) {
	t.Helper()
	switch here := (reference{file: filepath.Base(got.File), line: got.Line}); {
	case here.line == 0 || want.line == 0 || want.file == "":
	case here.file == want.file && here.line == want.line:
		a.lines++
	case j != nil && j.lines[addr] == here:
		a.judgedLines++
	default:
		if a.otherLines++; a.otherLines < shown {
			t.Errorf("%#x is of line %v, addr2line: %v", addr, here, want)
		}
	}
}

// aliases are the addresses of functions by name: one function may have several, and
// which of them an address is given does not make it another.
type aliases map[string][]uint64

func newAliases(t testing.TB, path string) aliases {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	static, err := f.Symbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		t.Fatal(err)
	}
	dynamic, err := f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		t.Fatal(err)
	}
	all := aliases{}
	for _, s := range append(static, dynamic...) {
		if s.Section != elf.SHN_UNDEF {
			name, _, _ := strings.Cut(s.Name, "@")
			all[name] = append(all[name], s.Value)
		}
	}
	return all
}

func (a aliases) same(here, reference string) bool {
	here, _, _ = strings.Cut(here, "@")
	reference, _, _ = strings.Cut(reference, "@")
	return slices.ContainsFunc(a[here], func(addr uint64) bool { return slices.Contains(a[reference], addr) })
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

// run runs a program and returns what it printed.
func run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(tool(t, name), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.Bytes())
	}
	return out
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
