package initramfs

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unpack lets cpio, the format's own tool, extract the archive, and returns the folder.
func unpack(t *testing.T, archive []byte) string {
	t.Helper()
	tool, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio, the second reader of the archive, is not installed")
	}
	dir := t.TempDir()
	cmd := exec.Command(tool, "--extract", "--quiet", "--no-absolute-filenames")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio refuses the archive: %v\n%s", err, out)
	}
	return dir
}

func TestArchiveIsWhatCpioExtracts(t *testing.T) {
	source := t.TempDir()
	write := func(name, text string, perm fs.FileMode) {
		t.Helper()
		file := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), perm); err != nil {
			t.Fatal(err)
		}
	}
	write("tool", "four", 0o755)
	write("data/deep/corpus", strings.Repeat("x", 4097), 0o600)
	write("data/empty", "", 0o644)
	if err := os.Symlink("deep/corpus", filepath.Join(source, "data/link")); err != nil {
		t.Fatal(err)
	}

	var archive bytes.Buffer
	w := NewWriter(&archive)
	for _, err := range []error{
		w.Directory("/tmp", 0o700),
		w.Bytes("/etc/conf/hosts", 0o644, []byte("127.0.0.1 localhost\n")),
		w.File("usr/bin/tool", filepath.Join(source, "tool")),
		w.Symlink("/bin/alias", "../usr/bin/tool"),
		w.Tree("/src/testdata", filepath.Join(source, "data")),
		w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}

	dir := unpack(t, archive.Bytes())
	for name, want := range map[string]string{
		"etc/conf/hosts": "127.0.0.1 localhost\n", "usr/bin/tool": "four", "bin/alias": "four",
		"src/testdata/deep/corpus": strings.Repeat("x", 4097), "src/testdata/empty": "", "src/testdata/link": strings.Repeat("x", 4097),
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s holds %d bytes (%v), want %d", name, len(got), err, len(want))
		}
	}
	for name, want := range map[string]fs.FileMode{
		"tmp": fs.ModeDir | 0o700, "etc": fs.ModeDir | 0o755, "usr/bin/tool": 0o755, "src/testdata/deep/corpus": 0o600, "src/testdata/link": fs.ModeSymlink | 0o777,
	} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	w := NewWriter(&bytes.Buffer{})
	if err := w.Bytes("a", 0o644, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Bytes("/./a", 0o644, nil); err == nil {
		t.Error("the same name was taken twice")
	}
	if err := w.Bytes("b\x00c", 0o644, nil); err == nil {
		t.Error("a name with a zero byte was taken")
	}
	if err := w.File("null", "/dev/null"); err == nil {
		t.Error("a device was taken as a file")
	}
	if err := w.Bytes("../../escape", 0o644, nil); err != nil {
		t.Error(err)
	} else if !w.written["escape"] {
		t.Error("a name that climbs out of the root was not held beneath it")
	}
}

func TestPadding(t *testing.T) {
	for n, want := range []int{0, 3, 2, 1, 0, 3} {
		if got := len(padding(int64(n))); got != want {
			t.Errorf("padding(%d) has %d bytes, want %d", n, got, want)
		}
	}
}
