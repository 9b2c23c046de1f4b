package index_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

const maker = "this test"

func openFolder(t testing.TB, dir string, maxBytes int64) *index.Folder {
	t.Helper()
	f, err := index.OpenFolder(dir, maker, maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// named builds the index of one function of the given name.
func named(t testing.TB, buildID, source, name string) []byte {
	t.Helper()
	var b index.Builder
	if err := b.Add(binary.Range{Low: 1, High: 2, Scope: &binary.Scope{Function: name}}); err != nil {
		t.Fatal(err)
	}
	data, err := b.Image(buildID, "made by "+maker+" from "+source)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// kept asks a folder for the function in the index of a build ID.
func kept(t testing.TB, f *index.Folder, buildID, source string) string {
	t.Helper()
	x, err := f.Get(buildID, source)
	if err != nil {
		t.Fatal(err)
	}
	if x == nil {
		return ""
	}
	got, err := frames(x, 1)
	if err = errors.Join(err, x.Close()); err != nil {
		t.Fatal(err)
	}
	return got[0].Function
}

func TestFolderKeepsIndexes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache", "narrows")
	f := openFolder(t, dir, 1<<20)
	ids := []string{"0123456789abcdef", "ab", "", "some/go/build-id", "../../escape", strings.Repeat("a", 300), "A0123456789"}
	for _, id := range ids {
		if got := kept(t, f, id, "source"); got != "" {
			t.Errorf("the empty folder has %q for %q", got, id)
		}
		if err := f.Put(id, named(t, id, "source", "of "+id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []*index.Folder{f, openFolder(t, dir, 1<<20)} {
		for _, id := range ids {
			if got, want := kept(t, f, id, "source"), "of "+id; got != want {
				t.Errorf("%q has %q", id, got)
			}
			if got := kept(t, f, id, "another source"); got != "" {
				t.Errorf("%q made from something else has %q", id, got)
			}
		}
	}
	if err := f.Put(ids[0], named(t, ids[0], "better source", "better")); err != nil {
		t.Fatal(err)
	}
	if got := kept(t, f, ids[0], "better source"); got != "better" {
		t.Errorf("after a better one was put there: %q", got)
	}
	other, err := index.OpenFolder(dir, "another program", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got := kept(t, other, ids[1], "source"); got != "" {
		t.Errorf("another program takes %q for its own", got)
	}
	if err := f.Remove(ids[0]); err != nil || kept(t, f, ids[0], "better source") != "" {
		t.Errorf("removing one: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(ids)-1 {
		t.Errorf("%d files for %d indexes, %v", len(entries), len(ids)-1, err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v, %v", info.Mode(), err)
	}
}

func TestFolderIsBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "narrows")
	image := named(t, "00000000", "", "f")
	f := openFolder(t, dir, int64(10*len(image)))
	file := func(i int) string { return filepath.Join(dir, fmt.Sprintf("%08d.index", i)) }
	long := time.Now().Add(-24 * time.Hour)
	for i := range 30 {
		if err := f.Put(fmt.Sprintf("%08d", i), named(t, fmt.Sprintf("%08d", i), "", "f")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file(i), long, long.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		if i >= 2 { // used each time, so never the oldest, but for the first day
			if got := kept(t, f, "00000002", ""); got != "f" {
				t.Fatalf("the index in use is gone after %d", i)
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 10 {
			t.Fatalf("%d files in a folder for 10, %v", len(entries), err)
		}
	}
	if _, err := os.Stat(file(29)); err != nil {
		t.Errorf("the newest is gone: %v", err)
	}
	if _, err := os.Stat(file(3)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the oldest is there: %v", err)
	}
	if err := f.Put("11111111", make([]byte, 11*len(image))); !errors.Is(err, index.ErrTooLarge) {
		t.Errorf("an index larger than the folder: %v", err)
	}
}

func TestFolderForgetsUnfinishedFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "narrows")
	f := openFolder(t, dir, 1<<20)
	for name, age := range map[string]time.Duration{".partial-old": 2 * time.Hour, ".partial-new": time.Minute, "else": 2 * time.Hour} {
		at := time.Now().Add(-age)
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Put("00000000", named(t, "00000000", "", "f")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{".partial-old": false, ".partial-new": true, "else": true, "00000000.index": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDamagedFilesAreRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "narrows")
	f := openFolder(t, dir, 1<<20)
	path := filepath.Join(dir, "00000000.index")
	good := named(t, "00000000", "", "f")
	for what, put := range map[string]func() error{
		"empty":      func() error { return os.WriteFile(path, nil, 0o600) },
		"cut":        func() error { return os.WriteFile(path, good[:len(good)-1], 0o600) },
		"no index":   func() error { return os.WriteFile(path, []byte(strings.Repeat("x", 8192)), 0o600) },
		"sparse":     func() error { return errors.Join(os.WriteFile(path, good, 0o600), os.Truncate(path, 2<<30)) },
		"named pipe": func() error { return syscall.Mkfifo(path, 0o600) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if x, err := f.Get("00000000", ""); x != nil || !errors.Is(err, index.ErrDamaged) {
			t.Errorf("%s: %v, %v", what, x, err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it is still there: %v", what, err)
			os.Remove(path)
		}
	}
	// A file of another binary under this one's name says whose it is.
	if err := os.WriteFile(path, named(t, "11111111", "", "of another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := kept(t, f, "00000000", ""); got != "" {
		t.Errorf("the index of another binary gave %q", got)
	}
	target := filepath.Join(t.TempDir(), "target")
	if err := errors.Join(os.WriteFile(target, good, 0o600), os.Remove(path), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
	if x, err := f.Get("00000000", ""); x != nil || err == nil {
		t.Errorf("a symbolic link in the folder: %v, %v", x, err)
	}
}

func TestUntrustedFoldersAreRefused(t *testing.T) {
	parent := t.TempDir()
	made := func(name string, mode os.FileMode) string {
		dir := filepath.Join(parent, name)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	refused := map[string]string{
		made("writable by all", 0o777):      "others may write",
		made("writable by group", 0o770):    "others may write",
		filepath.Join(parent, "link"):       "symbolic link",
		filepath.Join(parent, "file"):       "not a directory",
		filepath.Join(parent, "file/below"): "not a directory",
	}
	err := errors.Join(os.Symlink(made("target", 0o700), filepath.Join(parent, "link")),
		os.WriteFile(filepath.Join(parent, "file"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		other := made("another user's", 0o700)
		if err := os.Chown(other, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		refused[other] = "another user"
	}
	for dir, why := range refused {
		f, err := index.OpenFolder(dir, maker, 1<<20)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", dir, err, why)
		}
	}
}

// TestFolderSharedByMany has several users of one small folder put, get and evict at
// once: whatever they get is whole and right.
func TestFolderSharedByMany(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "narrows")
	const ids = 8
	images := make([][]byte, ids)
	for i := range images {
		images[i] = named(t, fmt.Sprintf("%08d", i), "", fmt.Sprint("function of ", i))
	}
	var all sync.WaitGroup
	for user := range 4 {
		f := openFolder(t, dir, int64(3*len(images[0])))
		all.Go(func() {
			for round := range 100 {
				i := (user + round) % ids
				id := fmt.Sprintf("%08d", i)
				x, err := f.Get(id, "")
				if err != nil {
					t.Error(err)
					return
				}
				if x == nil {
					if err := f.Put(id, images[i]); err != nil {
						t.Error(err)
					}
					continue
				}
				got, err := frames(x, 1)
				if err = errors.Join(err, x.Close()); err != nil || got[0].Function != fmt.Sprint("function of ", i) {
					t.Errorf("index %d has %v, %v", i, got, err)
				}
			}
		})
	}
	all.Wait()
}
