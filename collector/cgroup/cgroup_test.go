package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestIDsIncludeWhatIsBeneath(t *testing.T) {
	root, err := Root()
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no cgroup v2 hierarchy is mounted: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	parent, err := os.MkdirTemp(root, "narrows-test-")
	if err != nil {
		t.Skip("making a cgroup needs root: ", err)
	}
	child := filepath.Join(parent, "child")
	t.Cleanup(func() {
		os.Remove(child)
		os.Remove(parent)
	})
	if err := os.Mkdir(child, 0o755); err != nil {
		t.Fatal(err)
	}
	var want []uint64
	for _, dir := range []string{parent, child} {
		// The kernel's own name for a cgroup, by the handle of its folder: kernfs
		// gives the 64-bit id (fs/kernfs/mount.c).
		handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		var id uint64
		for i, b := range handle.Bytes()[:8] {
			id |= uint64(b) << (8 * i)
		}
		want = append(want, id)
	}
	for _, name := range []string{parent, filepath.Base(parent)} {
		got, err := IDs(name)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: ids %v, want %v, %v", name, got, want, err)
		}
	}
	if _, err := IDs("no-such-cgroup"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a cgroup that does not exist: %v", err)
	}
}

func TestProcesses(t *testing.T) {
	root, err := Root()
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no cgroup v2 hierarchy is mounted: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	parent, err := os.MkdirTemp(root, "narrows-test-")
	if err != nil {
		t.Skip("making a cgroup needs root: ", err)
	}
	child := filepath.Join(parent, "child")
	sleep := exec.Command("sleep", "60")
	if err := errors.Join(os.Mkdir(child, 0o755), sleep.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sleep.Process.Kill()
		sleep.Wait() // says that it was killed
		if err := errors.Join(os.Remove(child), os.Remove(parent)); err != nil {
			t.Error(err)
		}
	})
	folder, err := Folder(filepath.Base(parent))
	if err != nil || folder != parent {
		t.Errorf("the folder is %s, want %s, %v", folder, parent, err)
	}
	if pids, err := Processes(folder); err != nil || len(pids) != 0 {
		t.Errorf("in a new cgroup there are %v, %v", pids, err)
	}
	if err := os.WriteFile(filepath.Join(child, "cgroup.procs"), []byte(strconv.Itoa(sleep.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	if pids, err := Processes(folder); err != nil || !slices.Equal(pids, []uint32{uint32(sleep.Process.Pid)}) {
		t.Errorf("processes %v, want %d, %v", pids, sleep.Process.Pid, err)
	}
	if _, err := Processes(filepath.Join(root, "no such cgroup")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no cgroup: %v", err)
	}
}
