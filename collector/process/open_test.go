package process

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
)

func identity(t *testing.T, path string) lifecycle.FileIdentity {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return lifecycle.FileIdentity{Major: unix.Major(stat.Dev), Minor: unix.Minor(stat.Dev), Inode: stat.Ino}
}

// noProcess is above the greatest PID that Linux gives (PID_MAX_LIMIT).
const noProcess = 1 << 23

func TestOpenMappedByPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := identity(t, path)
	r, size, closer, err := openMapped(noProcess, lifecycle.Mapping{Path: path, File: want})
	if err != nil {
		t.Fatal(err)
	}
	defer closer()
	content := make([]byte, size)
	if _, err := r.ReadAt(content, 0); err != nil || string(content) != "content" {
		t.Errorf("read %q, %v", content, err)
	}

	want.Inode++
	if _, _, _, err := openMapped(noProcess, lifecycle.Mapping{Path: path, File: want}); !errors.Is(err, ErrChanged) {
		t.Errorf("another inode at the path: %v", err)
	}
	if _, _, _, err := openMapped(noProcess, lifecycle.Mapping{Path: "//anon"}); !errors.Is(err, ErrNoFile) {
		t.Errorf("memory without a file: %v", err)
	}
}

// A name that leads to a device or a pipe must not be opened for reading: that could
// block, or have effects.
func TestOnlyRegularFilesAreOpened(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("making a named pipe: ", err)
	}
	for _, path := range []string{pipe, "/dev/zero", os.TempDir()} {
		if _, _, _, err := openMapped(noProcess, lifecycle.Mapping{Path: path, File: identity(t, path)}); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
}

// A container's links resolve inside of its root, never on the host.
func TestLinksDoNotLeadOut(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "inside"), []byte("inside"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"absolute": "/inside", "upwards": "../../../../../inside"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		f, err := openBeneath(root, "/"+name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		content := make([]byte, 6)
		if _, err := f.ReadAt(content, 0); err != nil || string(content) != "inside" {
			t.Errorf("%s leads to %q, %v", name, content, err)
		}
		f.Close()
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(root, "out")); err != nil {
		t.Fatal(err)
	}
	if f, err := openBeneath(root, "/out"); err == nil {
		f.Close()
		t.Error("a link led to the host's /etc/hostname")
	}
}

func TestVDSO(t *testing.T) {
	r, size, _, err := openMapped(noProcess, lifecycle.Mapping{Path: vdso})
	if err != nil {
		t.Skip("this process has no readable vDSO: ", err)
	}
	magic := make([]byte, 4)
	if _, err := r.ReadAt(magic, 0); err != nil || string(magic) != "\x7fELF" || size < 4096 {
		t.Errorf("%d bytes that begin with %q, %v", size, magic, err)
	}
}

// One file is opened once, whoever maps it, and known by what it is afterwards.
func TestBinariesShareFiles(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := NewBinaries()
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	m := lifecycle.Mapping{Path: self, File: identity(t, self)}
	first := b.Get(noProcess, m)
	if second := b.Get(noProcess+1, m); first != second {
		t.Error("two processes that map one file have two")
	}
	file, err := first.File()
	if err != nil {
		t.Fatal(err)
	}
	if _, size, err := b.Find(self, file.BuildID()); err != nil || size == 0 {
		t.Errorf("finding it again: %d bytes, %v", size, err)
	}
	if _, _, err := b.Find(self, "another build ID"); err == nil {
		t.Error("a file with another build ID was found")
	}

	wrong := m
	wrong.File = lifecycle.FileIdentity{BuildID: "0123456789abcdef0123456789abcdef01234567"}
	if _, err := b.Get(noProcess, wrong).File(); !errors.Is(err, ErrChanged) {
		t.Errorf("a file whose build ID is not the mapped one's: %v", err)
	}
	anonymous := b.Get(noProcess, lifecycle.Mapping{Path: "//anon"})
	if _, err := anonymous.File(); !errors.Is(err, ErrNoFile) || !anonymous.Anonymous() {
		t.Errorf("memory without a file: %v", err)
	}
}

// However many files a process maps, only so many are opened, and the rest say why.
func TestOpenFilesAreBounded(t *testing.T) {
	b := NewBinaries()
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	b.maxOpen = 3
	var last *Binary
	for inode := range uint64(5) {
		last = b.Get(noProcess, lifecycle.Mapping{Path: "/nowhere", File: lifecycle.FileIdentity{Inode: inode + 1}})
	}
	if _, err := last.File(); !errors.Is(err, ErrTooMany) {
		t.Errorf("the fifth file of three: %v", err)
	}
}
