package sigmavault

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/sigmavault/mount"
	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// smallDisk is a file system of its own, unmounted at the test's end.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		if os.Getuid() != 0 {
			t.Skip("mounting a small file system needs root")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// driveFolder runs a benchmark against a directory.
func driveFolder(t *testing.T, k kind, dir string, options load.Options) *outcome {
	t.Helper()
	endpoint := service.Endpoint{Service: Service, Kind: service.External, Directory: dir, URL: "dir:" + dir, PIDUnknown: "it is a directory"}
	result := new(outcome)
	result.document, result.err = run(t.Context(), result.assignment("SomeBenchmark", endpoint, options), k, nil)
	return result
}

// A plain directory is driven like a service, and is as it was afterwards.
func TestPlainDirectory(t *testing.T) {
	for one, k := range map[string]kind{"read": small(reading()), "write": small(writing())} {
		dir := t.TempDir()
		own := filepath.Join(dir, "not-ours")
		if err := os.WriteFile(own, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := driveFolder(t, k, dir, load.Options{Iterations: 30, Seed: 1, Concurrency: 2})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		if d.N != 30 || d.Status != metrics.Complete || d.Metrics["peak_memory_mb"] != nil || !strings.Contains(d.Unavailable["peak_memory_mb"], "directory") {
			t.Errorf("%s: n %d, status %s, errors %v", one, d.N, d.Status, d.Errors)
		}
		for _, name := range []string{one + "_p50_ms", one + "_mean_ms", "throughput_mb_per_s", "unit_bytes_mean"} {
			if value(t, d, name) <= 0 {
				t.Errorf("%s: %s is %v", one, name, value(t, d, name))
			}
		}
		if one == "read" && (value(t, d, "cold_read_p50_ms") <= 0 || !strings.Contains(strings.Join(d.Notes, " "), "POSIX_FADV_DONTNEED")) {
			t.Errorf("notes %q", d.Notes)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 || left[0].Name() != "not-ours" {
			t.Errorf("%s: left behind %v, %v", one, left, err)
		}
	}
}

// What a file system refuses is an error by its kind.
func TestFoldersThatRefuse(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T) string
		want    metrics.Outcome
	}{
		"full":          {func(t *testing.T) string { return smallDisk(t, "size=64k") }, "errno_enospc"},
		"no names left": {func(t *testing.T) string { return smallDisk(t, "nr_inodes=10") }, "errno_enospc"},
		"read-only": {func(t *testing.T) string {
			dir := smallDisk(t, "size=1m")
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "errno_erofs"},
		"vanished": {func(t *testing.T) string { return filepath.Join(t.TempDir(), "gone") }, "errno_enoent"},
		"a file": {func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, "errno_enotdir"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, k := range []kind{small(reading()), small(writing())} {
				k.largest = 64 << 10 // more than the smallest disk holds
				got := driveFolder(t, k, test.prepare(t), load.Options{Iterations: 30, Seed: 1, Concurrency: 1})
				if got.err != nil {
					t.Fatal(got.err)
				}
				d := got.document
				if d.Status != metrics.Failed || !strings.Contains(d.StatusReason, string(test.want)) || d.N != 0 || d.Targets[0].Verdict != metrics.Undecided {
					t.Errorf("status %s (%s)", d.Status, d.StatusReason)
				}
				if err := d.Validate(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A directory that vanishes in the middle fails what comes after, and no more.
func TestDirectoryVanishes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mount")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	endpoint := service.Endpoint{Service: Service, Kind: service.External, Directory: dir}
	result := new(outcome)
	a := result.assignment("SomeBenchmark", endpoint, load.Options{Iterations: 30, Seed: 1, Concurrency: 1})
	a.Progress = func(done, _ int) {
		if done == 10 {
			if err := os.Rename(dir, dir+"-away"); err != nil {
				t.Error(err)
			}
		}
	}
	d, err := run(t.Context(), a, small(writing()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.N < 10 || d.Errors["errno_enoent"] == 0 || d.N+d.Errors["errno_enoent"] != 30 || verdicts(d) == "write_p50_ms met write_p99_ms met " {
		t.Errorf("n %d, errors %v, %s", d.N, d.Errors, verdicts(d))
	}
}

// filed is a directory with one unit in it, and the driver that checks it.
func filed(t *testing.T) (*driver, *asFiles, *unit) {
	t.Helper()
	f := newAsFiles(t.TempDir())
	d := &driver{store: f, units: newUnits(1, 2<<10)}
	u := d.units.unit("k", 1)
	if a := f.write(t.Context(), u, d.fresh(u)); a.Outcome != metrics.OK {
		t.Fatal(a.Err)
	}
	return d, f, u
}

// Files that are not what was written are told, by both ways to check them.
func TestChangedFiles(t *testing.T) {
	for name, test := range map[string]struct {
		change func(path string, content []byte) error
		want   metrics.Outcome
	}{
		"as written": {func(string, []byte) error { return nil }, metrics.OK},
		"a bit":      {func(p string, c []byte) error { c[700] ^= 4; return os.WriteFile(p, c, 0o600) }, metrics.InvalidAnswer},
		"longer":     {func(p string, c []byte) error { return os.WriteFile(p, append(c, 0), 0o600) }, metrics.InvalidAnswer},
		"shorter":    {func(p string, c []byte) error { return os.WriteFile(p, c[1:], 0o600) }, metrics.Truncated},
		"empty":      {func(p string, _ []byte) error { return os.Truncate(p, 0) }, metrics.Truncated},
		"removed":    {func(p string, _ []byte) error { return os.Remove(p) }, "errno_enoent"},
		"a folder":   {func(p string, _ []byte) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, "errno_eisdir"},
	} {
		d, f, u := filed(t)
		if err := test.change(f.path(u), d.units.content(u)); err != nil {
			t.Fatal(err)
		}
		for _, answer := range []transport.Answer{d.get(t.Context(), u), d.compare(t.Context(), u)} {
			if answer.Outcome != test.want || (answer.Err == nil) != (test.want == metrics.OK) || answer.End.IsZero() {
				t.Errorf("%s: %s, %v, want %s", name, answer.Outcome, answer.Err, test.want)
			}
		}
	}
}

// A file system that does not answer is given up in time: here a pipe that nobody
// writes to, whose opening waits.
func TestHangingFileSystem(t *testing.T) {
	d, f, u := filed(t)
	if err := errors.Join(os.Remove(f.path(u)), unix.Mkfifo(f.path(u), 0o600)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if answer := d.get(ctx, u); answer.Outcome != metrics.TimedOut {
		t.Errorf("%s, %v", answer.Outcome, answer.Err)
	}
	over := make(chan error, 1)
	go func() { over <- f.close() }()
	select {
	case err := <-over:
		t.Errorf("closed while a call is under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	// Somebody writes at last.
	pipe, err := os.OpenFile(f.path(u), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// The reference service's own directory cannot rename, so units are written in place
// there, and the document says so.
func TestFolderWithoutRename(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Getuid() != 0 {
		t.Skip("mounting needs root and /dev/fuse")
	}
	v, err := vault.Open(vault.Config{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "mount")
	m, err := mount.Mount(dir, v)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(m.Close(), v.Close()); err != nil {
			t.Error(err)
		}
	}()
	for one, k := range map[string]kind{"read": small(reading()), "write": small(writing())} {
		d := driveFolder(t, k, dir, load.Options{Iterations: 6, Seed: 1, Concurrency: 1})
		if d.err != nil {
			t.Fatal(d.err)
		}
		if d.document.N != 6 || value(t, d.document, one+"_p50_ms") <= 0 || !strings.Contains(strings.Join(d.document.Notes, " "), "in place") {
			t.Errorf("n %d, errors %v, notes %q", d.document.N, d.document.Errors, d.document.Notes)
		}
	}
	if left, err := v.List("", 10); err != nil || len(left) != 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
}
