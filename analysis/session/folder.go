package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	documentName  = "session.json"
	windowsFolder = "windows"
	metricsFolder = "metrics"
	// partialSuffix marks a file that is still being written; readers skip it.
	partialSuffix = ".partial"

	folderMode = 0o700
	fileMode   = 0o600

	// maxNameBytes leaves room for a temporary name within NAME_MAX (255).
	maxNameBytes = 200
)

// folder is an open session folder. All access goes through an os.Root, so
// that neither a name nor a symbolic link put there leads outside.
type folder struct {
	root  *os.Root
	owner owner

	mu       sync.Mutex
	ownerErr error // the first file that could not be given to the owner
}

// owner is the user that files are given to.
type owner struct {
	uid, gid int
	set      bool
}

// invoker returns the user who called sudo when this process runs as root, as
// sudo(8) passes it in SUDO_UID and SUDO_GID.
func invoker() owner {
	if os.Geteuid() != 0 {
		return owner{}
	}
	uid, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 31)
	if err != nil {
		return owner{}
	}
	gid, err := strconv.ParseUint(os.Getenv("SUDO_GID"), 10, 31)
	if err != nil {
		return owner{}
	}
	return owner{uid: int(uid), gid: int(gid), set: true}
}

// give changes an open file's owner. A process that has dropped CAP_CHOWN
// cannot; the recording goes on and the failure becomes a warning.
func (f *folder) give(file *os.File) {
	if !f.owner.set {
		return
	}
	if err := file.Chown(f.owner.uid, f.owner.gid); err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.ownerErr == nil {
			f.ownerErr = err
		}
	}
}

// warning says that files stayed root's, or is empty.
func (f *folder) warning() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ownerErr == nil {
		return ""
	}
	return fmt.Sprintf("some files still belong to root, not to the user who called sudo: %v", f.ownerErr)
}

// checkName accepts a slash-separated path below the folder, without "..",
// hidden parts and control characters.
func checkName(name string) error {
	if name == "" || !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("the file name %q does not stay inside the session folder", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case len(part) > maxNameBytes:
			return fmt.Errorf("the file name %.40q... is longer than %d bytes", part, maxNameBytes)
		case strings.HasPrefix(part, "."), strings.HasSuffix(part, partialSuffix):
			return fmt.Errorf("the file name %q is kept for unfinished files", name)
		case strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
			return fmt.Errorf("the file name %q holds a control character or a backslash", name)
		}
	}
	return nil
}

// makeFolders creates dir and its parents inside the session folder.
func (f *folder) makeFolders(dir string) error {
	if dir == "." {
		return nil
	}
	if err := f.makeFolders(path.Dir(dir)); err != nil {
		return err
	}
	err := f.root.Mkdir(dir, folderMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("creating the folder %s: %w", dir, advise(err))
	}
	made, err := f.root.Open(dir)
	if err != nil {
		return fmt.Errorf("opening the new folder %s: %w", dir, err)
	}
	defer made.Close()
	f.give(made)
	return f.syncFolder(path.Dir(dir))
}

// syncFolder makes renames and new names in dir durable.
func (f *folder) syncFolder(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return fmt.Errorf("opening the folder %s to sync it: %w", dir, err)
	}
	defer d.Close()
	// EINVAL: the file system has nothing to sync for folders (fsync(2)).
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("syncing the folder %s: %w", dir, err)
	}
	return nil
}

// write writes a whole file at once.
func (f *folder) write(name string, data []byte) error {
	file, err := f.create(name)
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		file.Discard()
		return err
	}
	return file.Close()
}

// read returns a regular file's content, refusing one longer than limit bytes.
func (f *folder) read(name string, limit int64) ([]byte, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("the file %s is longer than %d bytes", name, limit)
	}
	return data, nil
}

// open opens a regular file. O_NONBLOCK keeps a named pipe put in a file's
// place from blocking the reader.
func (f *folder) open(name string) (*os.File, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// advise adds to an error what a user can do about it.
func advise(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; free some space, or choose a folder on another disk with -o", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; choose a folder that you may write to with -o", err)
	}
	return err
}
