package debuginfod

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrUnsafeFolder says that a folder for debug files could be written to by others, who
// could then say what functions are called.
var ErrUnsafeFolder = errors.New("others may write to the folder")

const suffix = ".debug"

// A folder keeps debug files by build ID. Names are looked up within it, whatever
// becomes of its path.
type folder struct{ root *os.Root }

// openFolder opens a folder, or makes it.
func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for debug files: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening the folder for debug files: %w", err)
	}
	info, err := root.Stat(".")
	if err == nil {
		owner := info.Sys().(*syscall.Stat_t).Uid // which Linux always has
		if int(owner) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
			err = fmt.Errorf("mode %v, owner %d: %w", info.Mode(), owner, ErrUnsafeFolder)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the folder for debug files %s: %w", path, err), root.Close())
	}
	return &folder{root}, nil
}

func (f *folder) close() error { return f.root.Close() }

// open opens a file that is kept, and notes that it was used.
func (f *folder) open(buildID string) (*os.File, int64, error) {
	name := buildID + suffix
	info, err := f.root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: not a regular file", name)
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	if err := verify(file, info.Size(), buildID); err != nil {
		return nil, 0, errors.Join(err, file.Close(), f.root.Remove(name))
	}
	now := time.Now()
	_ = f.root.Chtimes(name, now, now) // only the order of eviction depends on it
	return file, info.Size(), nil
}

// add writes a file under a name of its own and gives it its real one when it is
// complete, then makes room.
func (f *folder) add(buildID string, limit int64, write func(*os.File) error) (err error) {
	temporary := fmt.Sprintf(".%s.%d.part", buildID, os.Getpid())
	file, err := f.root.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("keeping a debug file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.root.Remove(temporary))
		}
	}()
	if err := errors.Join(write(file), file.Close()); err != nil {
		return err
	}
	if err := f.root.Rename(temporary, buildID+suffix); err != nil {
		return fmt.Errorf("keeping a debug file: %w", err)
	}
	return f.evict(limit, buildID+suffix)
}

// evict removes the files used longest ago until the rest fits, but not the one named,
// and what a download that was killed left behind.
func (f *folder) evict(limit int64, keep string) error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("making room for debug files: %w", err)
	}
	const abandoned = time.Hour
	var files []fs.FileInfo
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		switch {
		case strings.HasSuffix(info.Name(), suffix):
			files = append(files, info)
			total += info.Size()
		case strings.HasSuffix(info.Name(), ".part") && time.Since(info.ModTime()) > abandoned:
			if err := f.root.Remove(info.Name()); err != nil {
				return fmt.Errorf("making room for debug files: %w", err)
			}
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, info := range files {
		if total <= limit {
			return nil
		}
		if info.Name() == keep {
			continue
		}
		if err := f.root.Remove(info.Name()); err != nil {
			return fmt.Errorf("making room for debug files: %w", err)
		}
		total -= info.Size()
	}
	return nil
}
