package binary_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// TestMiniDebug checks that the symbols that a program carries compressed, as Fedora
// does it, are found after it was stripped.
func TestMiniDebug(t *testing.T) {
	path := compileC(t, "-O1")
	all, err := openFile(t, path).Symbols()
	if err != nil {
		t.Fatal(err)
	}
	var static uint64
	for _, s := range truth(t, path) {
		if s.Name == "static_function" {
			static = s.Value
		}
	}
	symbols := filepath.Join(t.TempDir(), "symbols")
	run(t, "objcopy", "--only-keep-debug", "--strip-debug", path, symbols)
	for _, flags := range [][]string{{}, {"--check=crc32"}, {"--check=none", "-9e"}, {"--block-size=4096"}} {
		run(t, "xz", append(append([]string{"--keep", "--force"}, flags...), symbols)...)
		stripped := filepath.Join(t.TempDir(), "stripped")
		run(t, "objcopy", "--strip-all", "--add-section", ".gnu_debugdata="+symbols+".xz", path, stripped)
		file := openFile(t, stripped)
		if _, err := file.Symbols(); err != nil && !errors.Is(err, binary.ErrNoSymbols) {
			t.Fatal(err)
		}
		mini, held, err := file.MiniDebug(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(symbols); err != nil || int64(held) != info.Size() {
			t.Errorf("xz %v: %d bytes are held, of a file of %v", flags, held, info)
		}
		if _, _, err := file.MiniDebug(held - 1); !errors.Is(err, binary.ErrTooLarge) {
			t.Errorf("xz %v: with less memory than it takes: %v", flags, err)
		}
		found, err := mini.Symbols()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := nameAt(t, found, static), nameAt(t, all, static); got != want || want == "" {
			t.Errorf("xz %v: the static function is named %q, want %q", flags, got, want)
		}
	}
	if _, _, err := openFile(t, path).MiniDebug(1 << 20); !errors.Is(err, binary.ErrNoSection) {
		t.Errorf("a program without it: %v, want ErrNoSection", err)
	}
}

// TestDebugLink checks that a debug file is told by its build ID, or else by its
// checksum, and that another one is refused.
func TestDebugLink(t *testing.T) {
	for _, test := range []struct {
		name    string
		buildID string
	}{{"by build ID", "-Wl,--build-id"}, {"by checksum", "-Wl,--build-id=none"}} {
		t.Run(test.name, func(t *testing.T) {
			path := compileC(t, "-O1", "-g", test.buildID)
			dir := t.TempDir()
			debug, stripped := filepath.Join(dir, "functions.debug"), filepath.Join(dir, "stripped")
			run(t, "objcopy", "--only-keep-debug", path, debug)
			run(t, "objcopy", "--strip-all", "--add-gnu-debuglink="+debug, path, stripped)
			file := openFile(t, stripped)
			link := file.DebugLink()
			if link.Name != "functions.debug" || (link.BuildID == "") != (test.buildID == "-Wl,--build-id=none") {
				t.Fatalf("the link is %+v", link)
			}
			content, err := os.ReadFile(debug)
			if err != nil {
				t.Fatal(err)
			}
			matches := func(data []byte) (bool, error) {
				return link.Matches(bytes.NewReader(data), int64(len(data)), file)
			}
			if ok, err := matches(content); err != nil || !ok {
				t.Errorf("the right debug file: %t, %v", ok, err)
			}
			separate, err := binary.OpenDebug(bytes.NewReader(content), int64(len(content)), file)
			if err != nil {
				t.Fatal(err)
			}
			if symbols, err := separate.Symbols(); err != nil || symbols.Len() == 0 {
				t.Errorf("symbols of the debug file: %v", err)
			}
			other, err := os.ReadFile(compileC(t, "-O2", "-g", "-DVARIANT=7", test.buildID))
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := matches(other); ok || link.BuildID != "" && !errors.Is(err, binary.ErrOtherBinary) {
				t.Errorf("the debug file of another program: %t, %v", ok, err)
			}
			if ok, _ := matches(content[:len(content)/2]); ok && link.BuildID == "" {
				t.Error("half of the debug file was accepted")
			}
		})
	}
}

// FuzzMiniDebug reads arbitrary bytes as compressed symbols.
func FuzzMiniDebug(f *testing.F) {
	symbols := filepath.Join(f.TempDir(), "symbols")
	if err := os.WriteFile(symbols, small(f, "-O1"), 0o600); err != nil {
		f.Fatal(err)
	}
	run(f, "xz", symbols)
	packed, err := os.ReadFile(symbols + ".xz")
	if err != nil {
		f.Fatal(err)
	}
	program := openFile(f, compileC(f, "-O1", "-s"))
	f.Add(packed)
	f.Add(packed[:len(packed)/2])
	f.Add([]byte("\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x28"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		for _, section := range []string{string(data), "\xfd7zXZ\x00\x00\x00\xff\x12\xd9\x41" + string(data)} {
			mini, err := program.MiniDebugOf([]byte(section))
			if err != nil {
				continue
			}
			if symbols, err := mini.Symbols(); err == nil {
				symbols.Lookup(0x1100)
			}
		}
	})
}

// FuzzDebugLink reads arbitrary bytes as the link to a debug file.
func FuzzDebugLink(f *testing.F) {
	program := openFile(f, compileC(f, "-O1", "-s"))
	f.Add([]byte("program.debug\x00\x00\x00\x01\x02\x03\x04"))
	f.Add([]byte("../../etc/shadow\x00\x00\x00\x00\x01\x02\x03\x04"))
	f.Add([]byte("no end"))
	f.Fuzz(func(t *testing.T, data []byte) {
		link := program.DebugLinkOf(data)
		if strings.ContainsAny(link.Name, "/\x00") || link.Name == "." || link.Name == ".." {
			t.Errorf("the link leads to %q", link.Name)
		}
	})
}
