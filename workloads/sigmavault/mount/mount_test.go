package mount

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// serveVariable makes this test binary a process that shows a new vault at a directory
// until its input ends or it is killed.
const serveVariable = "NARROWS_TEST_MOUNT"

func TestMain(m *testing.M) {
	dir := os.Getenv(serveVariable)
	if dir == "" {
		goleak.VerifyTestMain(m)
		return
	}
	v, err := vault.Open(vault.Config{Folder: dir + "-vault"})
	if err == nil {
		_, err = Mount(dir, v)
	}
	fmt.Println("mounted", err)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// mounted is a directory that shows a new vault until the test ends.
func mounted(t *testing.T) (dir string, v *vault.Vault) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Getuid() != 0 {
		t.Skip("mounting needs root and /dev/fuse")
	}
	v, err := vault.Open(vault.Config{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "mount")
	m, err := Mount(dir, v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), v.Close()); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("the directory has %v, %v after it was unmounted", left, err)
		}
	})
	return dir, v
}

func content(seed byte, bytes int) []byte {
	c := make([]byte, bytes)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(c) // never fails
	return c
}

// stored checks that the vault has the content.
func stored(t *testing.T, v *vault.Vault, id string, want []byte) {
	t.Helper()
	r, parts, err := v.Get(id)
	if err != nil || !bytes.Equal(bytes.Join(parts, nil), want) || r.Bytes != len(want) {
		t.Errorf("%s: %d bytes, want %d, %v", id, r.Bytes, len(want), err)
	}
}

func TestFilesAreUnits(t *testing.T) {
	dir, v := mounted(t)
	for i, size := range []int{0, 1, 65535, 65536, 65537, 300_000} {
		id, want := fmt.Sprintf("unit-%d", i), content(byte(i), size)
		path := filepath.Join(dir, id)
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		stored(t, v, id, want)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: read %d bytes, %v", id, len(got), err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != int64(size) || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", id, info, err)
		}
		// In place of it, by one write(2) and by several.
		want = content(byte(i+100), size/2)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			t.Fatal(err)
		}
		for rest := want; len(rest) > 0; rest = rest[min(1000, len(rest)):] {
			if _, err := f.Write(rest[:min(1000, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		stored(t, v, id, want)
	}
	// What others store is seen at once, and what is removed is gone.
	if _, err := v.Put(t.Context(), &vault.Unit{ID: "unit-9", Content: content(9, 5)}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "unit-9")); err != nil || !bytes.Equal(got, content(9, 5)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := os.Remove(filepath.Join(dir, "unit-3")); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if fmt.Sprint(names) != "[unit-0 unit-1 unit-2 unit-4 unit-5 unit-9]" || err != nil {
		t.Errorf("the directory has %v, %v", names, err)
	}
}

// A unit is the old one until the new one is flushed, and then the new one whole.
func TestFlushingMakesAUnit(t *testing.T) {
	dir, v := mounted(t)
	path := filepath.Join(dir, "unit")
	old, changed := content(1, 100_000), content(2, 70_000)
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(changed); err != nil {
		t.Fatal(err)
	}
	stored(t, v, "unit", old)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	stored(t, v, "unit", changed)
	if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, old) {
		t.Errorf("who opened the old unit reads %d bytes, %v", len(got), err)
	}
	// In the middle, beyond the end, and shorter again.
	want := bytes.Clone(changed)
	want = append(want, make([]byte, 500)...)
	want = append(want, "end"...)
	copy(want[10:], "middle")
	_, err = f.WriteAt([]byte("middle"), 10)
	if _, endErr := f.WriteAt([]byte("end"), 70_500); errors.Join(err, endErr) != nil {
		t.Fatal(err, endErr)
	}
	got := make([]byte, len(want))
	if n, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the writer reads %d bytes, %v", n, err)
	}
	if err := errors.Join(f.Truncate(20), f.Truncate(30), f.Sync()); err != nil {
		t.Fatal(err)
	}
	stored(t, v, "unit", append(bytes.Clone(want[:20]), make([]byte, 10)...))
	if err := os.Truncate(path, 5); err != nil { // while it is open
		t.Fatal(err)
	}
	stored(t, v, "unit", want[:5])
}

func TestRefusals(t *testing.T) {
	dir, v := mounted(t)
	path := filepath.Join(dir, "unit")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		err  error
		want syscall.Errno
	}{
		"absent":      {errorOf(os.Open(filepath.Join(dir, "absent"))), syscall.ENOENT},
		"hidden name": {os.WriteFile(filepath.Join(dir, ".unit"), nil, 0o600), syscall.EINVAL},
		"folder":      {os.Mkdir(filepath.Join(dir, "folder"), 0o700), syscall.ENOTSUP},
		"rename":      {os.Rename(path, path+"2"), syscall.ENOTSUP},
		"link":        {os.Symlink("unit", path+"3"), syscall.ENOTSUP},
		"too long":    {os.WriteFile(path+"4", make([]byte, maxFile+1), 0o600), syscall.EFBIG},
		"too far":     {os.Truncate(path, maxFile+1), syscall.EFBIG},
		"remove":      {os.Remove(filepath.Join(dir, "absent")), syscall.ENOENT},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: %v, want %v", name, test.err, test.want)
		}
	}
	stored(t, v, "unit", []byte("x"))
}

func errorOf(f *os.File, err error) error {
	if err == nil {
		f.Close()
	}
	return err
}

// Many processes' worth of readers and writers see whole units.
func TestConcurrentFiles(t *testing.T) {
	dir, v := mounted(t)
	versions := [][]byte{content(1, 100_000), content(2, 40_000), content(3, 200_000)}
	path := filepath.Join(dir, "shared")
	if err := os.WriteFile(path, versions[0], 0o600); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := os.ReadFile(path)
				if err != nil || !bytes.Equal(got, versions[0]) && !bytes.Equal(got, versions[1]) && !bytes.Equal(got, versions[2]) {
					t.Errorf("%d bytes of no version, %v", len(got), err)
					return
				}
			}
		})
	}
	for i := range 60 {
		if err := os.WriteFile(path, versions[i%3], 0o600); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
	stored(t, v, "shared", versions[2])
}

// A service ends although somebody has a file open, who is told by the next read.
func TestCloseWhileInUse(t *testing.T) {
	dir, v := mounted(t)
	if _, err := v.Put(t.Context(), &vault.Unit{ID: "unit", Content: content(1, 300_000)}); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "second")
	m, err := Mount(other, v)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(other, "unit"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Read(make([]byte, 10)); err == nil {
		t.Errorf("read %d bytes of a service that has ended", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "unit")); err != nil {
		t.Errorf("the other mount: %v", err)
	}
}

// What was flushed before its service was killed is there, and the dead mount gives way
// to a new one.
func TestKilledServiceIsReplaced(t *testing.T) {
	_, _ = mounted(t) // skips where nothing can be mounted
	dir := filepath.Join(t.TempDir(), "mount")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	service := exec.Command(self)
	service.Env = append(os.Environ(), serveVariable+"="+dir)
	input, err := service.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	output, err := service.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 100)
	n, err := output.Read(said)
	if err != nil || string(said[:n]) != "mounted <nil>\n" {
		t.Fatalf("%q, %v", said[:n], err)
	}
	want := content(7, 150_000)
	writeErr := os.WriteFile(filepath.Join(dir, "unit"), want, 0o600)
	if err := errors.Join(writeErr, service.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = service.Wait() // killed
	if _, err := os.Stat(dir); !errors.Is(err, syscall.ENOTCONN) {
		t.Errorf("the dead mount says %v, so the test shows nothing", err)
	}
	v, err := vault.Open(vault.Config{Folder: dir + "-vault"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Mount(dir, v)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "unit")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := errors.Join(m.Close(), v.Close()); err != nil {
		t.Error(err)
	}
}
