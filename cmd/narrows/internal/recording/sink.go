package recording

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// CheckWritable tells before a recording whether its file can be written after it:
// the folder has to exist and to take files, and the name must not be a folder's.
func CheckWritable(name string) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return fmt.Errorf("writing %s: it is a folder; choose another name with -o", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, advise(err))
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// advise adds to an error what a user can do about it.
func advise(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w; free some space, or choose a place on another disk with -o", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w; choose a place that you may write to with -o", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; create its folder first, or choose another place with -o", err)
	}
	return err
}

// WriteWhole writes a file under a temporary name and gives it its own when it is
// complete and on disk.
func WriteWhole(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, advise(err))
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("writing %s: %w", name, advise(err))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := session.GiveToInvoker(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
