package binary_test

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// objdumpStubs returns the addresses that objdump names function@plt.
func objdumpStubs(t testing.TB, objdump, path string) map[uint64]string {
	t.Helper()
	stubs := make(map[uint64]string)
	listed := regexp.MustCompile(`(?m)^([0-9a-f]{16}) <(.*)@plt>:$`)
	for _, m := range listed.FindAllSubmatch(run(t, objdump, "-d", path), -1) {
		addr, err := strconv.ParseUint(string(m[1]), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		stubs[addr] = string(m[2])
	}
	return stubs
}

// checkStubs compares the stubs of a file with what objdump names.
func checkStubs(t *testing.T, objdump, path string, atLeast int) {
	t.Helper()
	stubs, err := openFile(t, path).Stubs()
	if err != nil {
		t.Fatal(err)
	}
	want := objdumpStubs(t, objdump, path)
	if len(stubs) < atLeast {
		t.Errorf("%d stubs, want at least %d", len(stubs), atLeast)
	}
	found := make(map[uint64]binary.Stub)
	for _, s := range stubs {
		found[s.Low] = s
		if s.High <= s.Low || s.High-s.Low > 24 {
			t.Errorf("%s@plt is from %#x to %#x", s.Name, s.Low, s.High)
		}
	}
	for addr, name := range want {
		s, ok := found[addr]
		if s.Name == "" && s.Resolver != 0 {
			s.Name = fmt.Sprintf("*ABS*+%#x", s.Resolver)
		}
		if !ok || s.Name != name {
			t.Errorf("the stub at %#x is named %q (found %t), objdump says %s", addr, s.Name, ok, name)
		}
		delete(found, addr)
	}
	// objdump names only some sections' stubs, and each of them at its beginning.
	for addr, s := range found {
		if !inSection(t, path, addr, ".plt.got", ".plt.sec", ".plt") {
			t.Errorf("a stub %v outside of all sections of stubs", s)
		}
	}
}

func inSection(t testing.TB, path string, addr uint64, names ...string) bool {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range names {
		if s := f.Section(name); s != nil && addr >= s.Addr && addr < s.Addr+s.Size {
			return true
		}
	}
	return false
}

func TestStubs(t *testing.T) {
	for name, flags := range map[string][]string{
		"lazy":           {"-Wl,-z,lazy", "-fcf-protection=none"},
		"now":            {"-Wl,-z,now", "-fcf-protection=none"},
		"branch tracked": {"-Wl,-z,lazy", "-fcf-protection=full", "-Wl,-z,ibtplt"},
		"fixed address":  {"-no-pie"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "stubs")
			run(t, "gcc", append(append([]string{"-O1"}, flags...), "-o", out, filepath.Join("testdata", "stubs.c"))...)
			checkStubs(t, "objdump", out, 3)
		})
	}
}

// TestStubsOfSystemFiles compares libraries as a distribution has them; libc jumps
// to some of its own functions through stubs.
func TestStubsOfSystemFiles(t *testing.T) {
	for _, path := range systemFiles(t, "/lib/*/libc.so.6", "/usr/bin/python3.*", "/bin/bash", "/lib/*/libm.so.6", "/usr/lib/*/libstdc++.so.6") {
		t.Run(filepath.Base(path), func(t *testing.T) { checkStubs(t, "objdump", path, 1) })
	}
}

// TestStubsARM64 links a library for arm64, which needs no arm64 machine.
func TestStubsARM64(t *testing.T) {
	for name, flags := range map[string][]string{
		"plain":              {},
		"branch protection":  {"-z", "force-bti"},
		"pointers protected": {"-z", "pac-plt"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			object, out := filepath.Join(dir, "stubs.o"), filepath.Join(dir, "stubs.so")
			source, err := os.ReadFile(filepath.Join("testdata", "stubs.s"))
			if err != nil {
				t.Fatal(err)
			}
			input := filepath.Join(dir, "stubs.s")
			if err := os.WriteFile(input, source, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "clang-19", "--target=aarch64-linux-gnu", "-c", "-o", object, input)
			run(t, "aarch64-linux-gnu-ld", append(append([]string{"-shared"}, flags...), "-o", out, object)...)
			checkStubs(t, "aarch64-linux-gnu-objdump", out, 3)
		})
	}
}

// FuzzStubs overwrites parts of the sections that stubs are found by.
func FuzzStubs(f *testing.F) {
	original := small(f, "-O1", "-no-pie", "-s")
	reference, err := elf.NewFile(bytes.NewReader(original))
	if err != nil {
		f.Fatal(err)
	}
	var targets []*elf.Section
	for _, name := range []string{".plt", ".rela.plt", ".rela.dyn", ".dynsym", ".dynstr"} {
		if s := reference.Section(name); s != nil {
			targets = append(targets, s)
		}
	}
	f.Add(byte(0), uint32(0), []byte{0xff, 0x25, 0xff, 0xff, 0xff, 0x7f})
	f.Add(byte(1), uint32(8), []byte{0x07, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Add(byte(3), uint32(24), []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, which byte, at uint32, change []byte) {
		section := targets[int(which)%len(targets)]
		data := append([]byte(nil), original...)
		copy(data[section.Offset+uint64(at)%section.Size:section.Offset+section.Size], change)
		file, err := binary.Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		stubs, err := file.Stubs()
		for _, s := range stubs {
			if err != nil || s.High <= s.Low || s.Name == "" && s.Resolver == 0 {
				t.Errorf("%v, %v", s, err)
			}
		}
	})
}
