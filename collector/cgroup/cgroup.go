// Package cgroup finds control groups of the v2 hierarchy and the numbers by which
// the kernel side knows them.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
)

// IDs returns the ids of a cgroup of the v2 hierarchy and of all beneath it,
// as the kernel numbers them: the inode numbers of their folders. The path is the
// folder's, or relative to where the hierarchy is mounted.
func IDs(path string) ([]uint64, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	folder := path
	if !strings.HasPrefix(filepath.Clean(path)+"/", root+"/") {
		folder = filepath.Join(root, path)
	}
	var ids []uint64
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != folder:
			return nil // it was removed meanwhile
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		}
		var stat syscall.Stat_t
		if err := syscall.Stat(path, &stat); err != nil {
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
