package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/plant"
)

// smallDisk is a file system of its own, unmounted at the test's end.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getuid() != 0 {
			t.Skip("mounting a small file system needs root")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A full disk is told as such, takes nothing away, and is no reason to stop.
func TestFullDisk(t *testing.T) {
	v := open(t, Config{Folder: smallDisk(t, "40m")})
	defer closed(t, v)
	var units []*Unit
	var err error
	for i := 0; err == nil && i < 100; i++ {
		u := unit(fmt.Sprintf("unit-%d", i), uint64(i), 1<<20)
		if _, err = v.Put(t.Context(), u); err == nil {
			units = append(units, u)
		}
	}
	if !errors.Is(err, unix.ENOSPC) || len(units) < 3 {
		t.Fatalf("after %d units: %v", len(units), err)
	}
	for _, u := range units {
		same(t, v, u)
	}
	if err := v.Delete(t.Context(), units[0].ID); err != nil {
		t.Fatalf("deleting on a full disk: %v", err)
	}
	u := unit("again", 1, 100_000)
	put(t, v, u)
	same(t, v, u)
}

func TestReadOnlyFolder(t *testing.T) {
	dir := smallDisk(t, "40m")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Folder: dir}); !errors.Is(err, unix.EROFS) {
		t.Errorf("%v", err)
	}
}

// resident counts the pages of a file that are in memory.
func resident(t *testing.T, path string) (pages int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	return residentPages(t, mapped, (len(mapped)+os.Getpagesize()-1)/os.Getpagesize())
}

// Dropped units are neither in the cache nor in the page cache, and still whole.
func TestDropMakesReadsCold(t *testing.T) {
	folder := t.TempDir()
	v := open(t, Config{Folder: folder})
	defer closed(t, v)
	var units []*Unit
	for i := range 40 {
		units = append(units, unit(fmt.Sprintf("unit-%d", i), uint64(i), 200_000))
		put(t, v, units[i])
		same(t, v, units[i])
	}
	engine := filepath.Join(folder, engineName)
	warm := resident(t, engine)
	if warm < 40*200_000/os.Getpagesize() {
		t.Errorf("only %d pages are in memory before anything is dropped", warm)
	}
	if n, err := v.Drop("unit-7"); err != nil || n != 4 {
		t.Errorf("%d chunks of one unit, %v", n, err)
	}
	if n, err := v.Drop(""); err != nil || n != 39*4 {
		t.Errorf("%d chunks of all others, %v", n, err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(folder, &disk); err != nil {
		t.Fatal(err)
	}
	if pages := resident(t, engine); disk.Type != unix.TMPFS_MAGIC && pages > warm/10 {
		t.Errorf("%d of %d pages are still in memory", pages, warm)
	}
	before, err := v.Stats()
	if err != nil || before.CacheBytes != 0 {
		t.Errorf("%+v, %v", before, err)
	}
	for _, u := range units {
		if _, _, err := v.Get(u.ID); err != nil {
			t.Fatal(err)
		}
	}
	after, err := v.Stats()
	if misses := after.CacheMisses - before.CacheMisses; err != nil || misses != 160 {
		t.Errorf("%d chunks were not in the cache, want 160, %v", misses, err)
	}
	for _, u := range units {
		same(t, v, u)
	}
	if _, err := v.Drop("absent"); !errors.Is(err, ErrNotFound) {
		t.Errorf("dropping what is not there: %v", err)
	}
}

// The planted index is what it claims to be, a JSON document of all records, also
// after it was torn.
func TestRewrittenIndex(t *testing.T) {
	folder := t.TempDir()
	c := Config{Folder: folder, Plant: plant.Choice{Fault: RewrittenIndex}}
	path := filepath.Join(folder, indexName)
	for round := range 3 {
		v := open(t, c)
		for i := range 5 {
			put(t, v, unit(fmt.Sprintf("unit-%d-%d", round, i), 1, 70_000))
		}
		if err := v.Delete(t.Context(), fmt.Sprintf("unit-%d-2", round)); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var document struct {
			RSUs []Record `json:"rsus"`
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&document); err != nil || len(document.RSUs) != 4*(round+1) {
			t.Fatalf("round %d: %d records, %v", round, len(document.RSUs), err)
		}
		for _, r := range document.RSUs {
			if own, err := v.Record(r.ID); err != nil || own.SemanticHash != r.SemanticHash || len(own.ChunkIDs) != len(r.ChunkIDs) || own.ChunkIDs[0] != r.ChunkIDs[0] {
				t.Errorf("%+v, the engine has %+v, %v", r, own, err)
			}
		}
		closed(t, v)
		if err := os.Truncate(path, int64(len(text)/2)); err != nil {
			t.Fatal(err)
		}
	}
}

// residentPages asks mincore(2), which tells of the page cache whoever maps it.
func residentPages(t *testing.T, mapped []byte, pages int) int {
	t.Helper()
	vector := make([]byte, pages)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(mapped))), uintptr(len(mapped)), uintptr(unsafe.Pointer(unsafe.SliceData(vector)))); errno != 0 {
		t.Fatal(errno)
	}
	count := 0
	for _, page := range vector {
		count += int(page & 1)
	}
	return count
}
