// Package cgroup finds control groups of the v2 hierarchy and the numbers by which
// the kernel side knows them.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
)

// IDs returns the ids of a cgroup of the v2 hierarchy and of all beneath it,
// as the kernel numbers them: the inode numbers of their folders. The path is the
// folder's, or relative to where the hierarchy is mounted.
func IDs(path string) ([]uint64, error) {
	folder, err := Folder(path)
	if err != nil {
		return nil, err
	}
	var ids []uint64
	err = each(folder, func(folder string) error {
		var stat syscall.Stat_t
		if err := syscall.Stat(folder, &stat); err != nil {
			return err
		}
		ids = append(ids, stat.Ino)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the cgroup %s: %w", path, err)
	}
	return ids, nil
}

// Folder is that of a cgroup, whose path may be relative to where the hierarchy is mounted.
func Folder(path string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(filepath.Clean(path)+"/", root+"/") {
		return filepath.Clean(path), nil
	}
	return filepath.Join(root, path), nil
}

// Processes are those that are in the cgroup of a folder now, and in those beneath it, as this
// PID namespace numbers them.
func Processes(folder string) ([]uint32, error) {
	var pids []uint32
	err := each(folder, func(folder string) error {
		// Of cgroups whose threads are in several, the first one above them lists the process.
		list, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
		if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
			return err
		}
		for _, word := range strings.Fields(string(list)) {
			// 0 is a process that this PID namespace cannot see.
			if pid, err := strconv.ParseUint(word, 10, 32); err == nil && pid != 0 {
				pids = append(pids, uint32(pid))
			}
		}
		return nil
	})
	if err != nil {
		return pids, fmt.Errorf("reading which processes are in the cgroup %s: %w", folder, err)
	}
	return pids, nil
}

// each visits the folder and those beneath it. What was removed meanwhile is left out.
func each(folder string, visit func(folder string) error) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = visit(path)
		}
		if path != folder && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)) {
			return nil
		}
		return err
	})
}

// Root is where the v2 hierarchy is mounted, which is not the same everywhere.
func Root() (string, error) {
	mounts, err := procfs.GetMounts()
	if err != nil {
		return "", fmt.Errorf("looking for the cgroup v2 hierarchy: %w", err)
	}
	for _, m := range mounts {
		if m.FSType == "cgroup2" {
			return m.MountPoint, nil
		}
	}
	return "", fmt.Errorf("looking for the cgroup v2 hierarchy: none is mounted: %w", os.ErrNotExist)
}
