package main

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// elsewhere is a program that was profiled on another host, and the profile.
type elsewhere struct {
	program string // stripped, where it is now
	debug   string // its debug file
	profile string // pprof file without names
}

const elsewhereSource = `
__attribute__((noinline)) int leaf(int n) { return n * 3 + 1; }
static inline int inlined(int n) { return leaf(n) + leaf(n + 1); }
__attribute__((noinline)) int middle(int n) { return inlined(n) * 2; }
int main(int argc, char **argv) { return middle(argc); }
`

// profileElsewhere compiles a program, and makes the profile that a recorder on a host
// with the program at path would have written: file offsets, build ID, no names.
func profileElsewhere(t *testing.T, path string) elsewhere {
	t.Helper()
	for _, tool := range []string{"gcc", "objcopy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	e := elsewhere{program: filepath.Join(dir, "program"), debug: filepath.Join(dir, "program.debug"), profile: filepath.Join(dir, "cpu.pb.gz")}
	source, whole := filepath.Join(dir, "program.c"), filepath.Join(dir, "whole")
	if err := os.WriteFile(source, []byte(elsewhereSource), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"gcc", "-O1", "-g", "-Wl,--build-id=sha1", "-o", whole, source},
		{"objcopy", "--only-keep-debug", whole, e.debug},
		{"objcopy", "--strip-all", whole, e.program},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	at := map[string]uint64{}
	f, err := elf.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		at[s.Name] = s.Value
	}
	b := openBinary(t, whole)
	segment, ok := b.Executable(at["leaf"])
	if !ok {
		t.Fatal("leaf is not code")
	}
	m := &profile.Mapping{ID: 1, Start: segment.Vaddr, Limit: segment.Vaddr + segment.Memsz, Offset: segment.Offset, File: path, BuildID: b.BuildID()}
	gone := &profile.Mapping{ID: 2, Start: 0x1000, Limit: 0x2000, File: "/opt/gone/libgone.so.1", BuildID: "0123456789abcdef0123456789abcdef01234567"}
	anonymous := &profile.Mapping{ID: 3, Start: 0x1000, Limit: 0x2000, File: "/opt/anonymous"}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Mapping: []*profile.Mapping{m, gone, anonymous},
	}
	location := func(m *profile.Mapping, addr uint64) *profile.Location {
		l := &profile.Location{ID: uint64(len(p.Location) + 1), Mapping: m, Address: addr}
		p.Location = append(p.Location, l)
		return l
	}
	// The call of leaf in middle is inlined there; a caller's address is its return
	// address minus one.
	stack := []*profile.Location{location(m, at["leaf"]), location(m, callIn(t, f, at["middle"], at["leaf"])), location(gone, 0x1234), location(anonymous, 0x1500)}
	p.Sample = []*profile.Sample{{Location: stack, Value: []int64{7, 70e6}}, {Location: stack[2:], Value: []int64{1, 10e6}}}
	out, err := os.Create(e.profile)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(out); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return e
}

func openBinary(t *testing.T, path string) *binary.File {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := binary.Open(strings.NewReader(string(data)), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// callIn finds the first call of a function in the code that begins at an address, and
// returns an address within the instruction.
func callIn(t *testing.T, f *elf.File, from, to uint64) uint64 {
	t.Helper()
	text := f.Section(".text")
	data, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	for at := from; at < from+100; at++ {
		code := data[at-text.Addr:]
		if code[0] == 0xe8 && at+5+uint64(int64(int32(f.ByteOrder.Uint32(code[1:])))) == to {
			return at + 4
		}
	}
	t.Skip("no call found: this test reads x86-64 code")
	return 0
}

// top is what go tool pprof prints of a profile's functions.
func top(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.Command("go", "tool", "pprof", "-symbolize=none", "-top", "-sample_index=samples", name)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("go tool pprof does not work here: %v", err)
	}
	return string(out)
}

// symbolized runs the command on a profile from elsewhere and returns what it prints.
func symbolized(t *testing.T, e elsewhere, args ...string) (result, string) {
	t.Helper()
	output := filepath.Join(t.TempDir(), "named.pb.gz")
	cmd := narrows(t, append([]string{"symbolize", e.profile, "-o", output, "--symbol-cache", filepath.Join(t.TempDir(), "cache")}, args...)...)
	return succeed(t, cmd), output
}

// TestSymbolizeFindsBinariesByBuildID puts the program into folders of each kind that
// the command looks into.
func TestSymbolizeFindsBinariesByBuildID(t *testing.T) {
	e := profileElsewhere(t, "/opt/there/bin/program")
	id := openBinary(t, e.program).BuildID()
	place := func(path, from string) string {
		root := t.TempDir()
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), data, 0o755); err != nil {
			t.Fatal(err)
		}
		return root
	}
	with := func(root, path string) string {
		data, err := os.ReadFile(e.debug)
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return root
	}
	store := ".build-id/" + id[:2] + "/" + id[2:]
	for name, folder := range map[string]string{
		"copy of the root":      with(place("opt/there/bin/program", e.program), "usr/lib/debug/"+store+".debug"),
		"store by build ID":     with(place(store, e.program), store+".debug"),
		"its name":              with(place("program", e.program), store+".debug"),
		"any name, deep inside": with(place("x/y/z.bin", e.program), store+".debug"),
	} {
		t.Run(name, func(t *testing.T) {
			r, output := symbolized(t, e, "--binaries", t.TempDir(), "--binaries", folder)
			named := top(t, output)
			for _, function := range []string{"leaf", "middle", "inlined (inline)", "[libgone.so.1+0x1234]"} {
				if !strings.Contains(named, function) {
					t.Errorf("pprof does not show %s:\n%s", function, named)
				}
			}
			for _, part := range []string{
				"2      2   /opt/there/bin/program", "0123456789abcdef0123456789abcdef01234567: not found in ",
				"the profile has no build ID", "named       2 of 4 places in code", "go tool pprof -top " + output,
			} {
				if !strings.Contains(r.stdout, part) {
					t.Errorf("it does not say %q:\n%s", part, r.stdout)
				}
			}
		})
	}
}

// TestSymbolizeTakesNoOtherBuild has another program of the same path and name.
func TestSymbolizeTakesNoOtherBuild(t *testing.T) {
	e := profileElsewhere(t, "/opt/there/bin/program")
	root := t.TempDir()
	other := filepath.Join(root, "opt/there/bin/program")
	if err := os.MkdirAll(filepath.Dir(other), 0o755); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(root, "other.c")
	if err := os.WriteFile(source, []byte(strings.ReplaceAll(elsewhereSource, "leaf", "wrong")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-O1", "-Wl,--build-id=sha1", "-o", other, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, output := symbolized(t, e, "--binaries", root)
	if p := readProfile(t, output); strings.Contains(p.String(), "wrong") || strings.Contains(p.String(), "middle") {
		t.Errorf("names of another build:\n%s", p)
	}
	if !strings.Contains(r.stdout, "named       0 of 4") {
		t.Errorf("it says\n%s", r.stdout)
	}
}

// TestSymbolizeUsesThisHost names what lies at the same path here, and what was kept of
// it the first time is as good the second.
func TestSymbolizeUsesThisHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	e := profileElsewhere(t, path)
	if err := os.Rename(e.program, path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(e.debug, filepath.Join(filepath.Dir(path), "program.debug")); err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(t.TempDir(), "cache")
	var before string
	for i, args := range [][]string{{"--symbol-cache", "off"}, {"--symbol-cache", cache}, {"--symbol-cache", cache}} {
		output := filepath.Join(t.TempDir(), "named.pb.gz")
		cmd := narrows(t, append([]string{"symbolize", e.profile, "--json", "-o", output}, args...)...)
		r := succeed(t, cmd)
		var said named
		if err := json.Unmarshal([]byte(r.stdout), &said); err != nil {
			t.Fatalf("%v:\n%s", err, r.stdout)
		}
		var found namedBinary
		for _, b := range said.Binaries {
			if b.File == path {
				found = b
			}
		}
		// Stripped and without a link to it, the debug file is not found; the program
		// has no name then, which is no reason to borrow one.
		want := namedBinary{File: path, BuildID: found.BuildID, TakenFrom: path, Locations: 2, Unnamed: map[string]int{"no symbol covers the address": 2}}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("(-want +said):\n%s", diff)
		}
		text := readProfile(t, output).String()
		if i > 0 && text != before {
			t.Errorf("with %v:\n%s\nbefore:\n%s", args, text, before)
		}
		before = text
	}
}

// TestSymbolizeNeedsNoRoot runs as nobody.
func TestSymbolizeNeedsNoRoot(t *testing.T) {
	e := profileElsewhere(t, "/opt/there/bin/program")
	cmd := asNobody(t, narrows(t, "symbolize", "cpu.pb.gz", "--binaries", "."))
	for name, from := range map[string]string{"cpu.pb.gz": e.profile, "program": e.program} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cmd.Dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(cmd.Dir, "cache"))
	r := succeed(t, cmd)
	if r.stderr != "" {
		t.Errorf("it says %s", r.stderr)
	}
	if info, err := os.Stat(filepath.Join(cmd.Dir, "cache", "narrows")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of indexes: %v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(cmd.Dir, "cpu.named.pb.gz")); err != nil {
		t.Error(err)
	}
}
