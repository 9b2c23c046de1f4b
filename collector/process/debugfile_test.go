package process

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
)

// built is a program without debug information and the file that has it.
type built struct{ stripped, debug string }

// build compiles a program, or skips the test where there is no compiler.
func build(t *testing.T, flags ...string) built {
	t.Helper()
	dir := t.TempDir()
	b := built{filepath.Join(dir, "program"), filepath.Join(dir, "program.debug")}
	source, whole := filepath.Join(dir, "program.c"), filepath.Join(dir, "whole")
	if err := os.WriteFile(source, []byte("int answer(void) { return 42; }\nint main(void) { return answer(); }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		append([]string{"gcc", "-O1", "-g", "-o", whole, source}, flags...),
		{"objcopy", "--only-keep-debug", whole, b.debug},
		{"objcopy", "--strip-all", "--add-gnu-debuglink=" + b.debug, whole, b.stripped},
	} {
		path, err := exec.LookPath(args[0])
		if err != nil {
			t.Skip("building a program: ", err)
		}
		if out, err := exec.Command(path, args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return b
}

func openELF(t *testing.T, path string) *elf.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// put copies a file to a place beneath a root.
func put(t *testing.T, root, place, from string) string {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(root, place)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestDebugFileIsFound(t *testing.T) {
	withID, withoutID := build(t), build(t, "-Wl,--build-id=none")
	other := build(t, "-DOTHER", "-O2")
	id := openELF(t, withID.stripped).BuildID()
	byID := "/usr/lib/debug/.build-id/" + id[:2] + "/" + id[2:] + ".debug"
	for name, test := range map[string]struct {
		program  built
		place    string
		previous string // a file that is not it, at a place that is looked at before
	}{
		"by build ID":                      {withID, byID, ""},
		"beside the program":               {withID, "/opt/bin/program.debug", ""},
		"in a folder beside it":            {withID, "/opt/bin/.debug/program.debug", "/opt/bin/program.debug"},
		"in the distribution's folder":     {withID, "/usr/lib/debug/opt/bin/program.debug", "/opt/bin/.debug/program.debug"},
		"after another build's":            {withID, "/opt/bin/program.debug", byID},
		"by checksum":                      {withoutID, "/opt/bin/program.debug", ""},
		"by checksum, after another's":     {withoutID, "/usr/lib/debug/opt/bin/program.debug", "/opt/bin/program.debug"},
		"by checksum, in a folder besides": {withoutID, "/opt/bin/.debug/program.debug", ""},
	} {
		t.Run(name, func(t *testing.T) {
			empty, root := t.TempDir(), t.TempDir()
			want := put(t, root, test.place, test.program.debug)
			if test.previous != "" {
				put(t, root, test.previous, other.debug)
			}
			code := openELF(t, test.program.stripped)
			found := openDebugFile([]string{empty, root}, "/opt/bin/program", code)
			if found.err != nil {
				t.Fatal(found.err)
			}
			defer found.file.Close()
			size := found.size
			got, err := found.file.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if expected, err := os.Stat(want); err != nil || !os.SameFile(got, expected) || size != got.Size() {
				t.Errorf("found another file, of %d bytes: %v", size, err)
			}
		})
	}
}

// What a container can put where a debug file is looked for.
func TestHostileDebugFiles(t *testing.T) {
	program := build(t)
	code := openELF(t, program.stripped)
	outside := filepath.Join(t.TempDir(), "outside.debug")
	put(t, "/", outside, program.debug)
	for name, make := range map[string]func(path string) error{
		"nothing":               func(string) error { return nil },
		"a link that leads out": func(path string) error { return os.Symlink(outside, path) },
		"a pipe":                func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a device":              func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) },
		"a folder":              func(path string) error { return os.Mkdir(path, 0o700) },
		"text":                  func(path string) error { return os.WriteFile(path, []byte("text"), 0o600) },
		"two gigabytes of nothing": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 2<<30))
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			path := filepath.Join(root, "program.debug")
			if err := make(path); err != nil {
				t.Skip("making it: ", err)
			}
			if found := openDebugFile([]string{root}, "/program", code); found.err == nil {
				found.file.Close()
				t.Error("it was taken for the debug file")
			} else if !errors.Is(found.err, errNoDebugFile) {
				t.Error(found.err)
			}
		})
	}
}

// A mapped file with a debug file beside it gives both out; the same file mapped by
// another path is the same.
func TestBinariesKnowDebugFiles(t *testing.T) {
	program := build(t)
	b := NewBinaries()
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, path := range []string{program.stripped, program.debug} {
		file, err := b.Get(noProcess, lifecycle.Mapping{Path: path, File: identity(t, path)}).File()
		if err != nil {
			t.Fatal(err)
		}
		r, size, err := b.DebugFile(path, file.BuildID())
		if path == program.debug {
			if err == nil {
				t.Error("a file with debug information has another one")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if debug, err := elf.OpenDebug(r, size, file); err != nil || !debug.HasContents(".debug_info") {
			t.Errorf("the debug file: %v", err)
		}
	}
	if _, _, err := b.DebugFile("/nowhere", "abcd"); err == nil {
		t.Error("a file that was never mapped has a debug file")
	}
}

// What a process can map for execution beside programs: each is an error, and nothing
// hangs or takes memory.
func TestHostileMappedFiles(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	header, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	header = header[:4096]
	lying := append([]byte(nil), header...)
	binary.LittleEndian.PutUint16(lying[56:], 0xfff0) // program headers, of a file that has few
	dir := t.TempDir()
	sparse := func(content []byte) func(string) error {
		return func(path string) error {
			return errors.Join(os.WriteFile(path, content, 0o600), os.Truncate(path, 2<<30))
		}
	}
	b := NewBinaries()
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, make := range map[string]func(path string) error{
		"pipe":               func(path string) error { return unix.Mkfifo(path, 0o600) },
		"device":             func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))) },
		"sparse":             sparse(nil),
		"sparse-and-lying":   sparse(lying),
		"header-and-nothing": func(path string) error { return os.WriteFile(path, header[:64], 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := make(path); err != nil {
				t.Skip("making it: ", err)
			}
			mapped := b.Get(noProcess, lifecycle.Mapping{Path: path, File: identity(t, path)})
			if _, err := mapped.File(); err == nil {
				t.Error("it was opened as a program")
			}
			if _, _, err := b.Find(path, "abcd"); err == nil {
				t.Error("it was found as a program")
			}
		})
	}
}
