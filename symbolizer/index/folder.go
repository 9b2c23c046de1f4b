package index

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	fileSuffix    = ".index"
	partialPrefix = ".partial-"
	// abandoned is after how long an unfinished file was left by a process that
	// died: writing one takes well under a second.
	abandoned = time.Hour
	// stale is how old the note of a file's last use may get. Noting each use
	// would cost a write on the disk.
	stale = time.Hour
)

// A Folder keeps the indexes of many binaries, one file each, for all processes
// of one user. Files appear whole or not at all, and the ones not used for longest
// are removed when the folder grows beyond its bound, so several processes may
// use it at once, and so may several goroutines.
type Folder struct {
	root     *os.Root
	maker    string
	maxBytes int64

	mu     sync.Mutex
	used   int64 // bytes of files at the last look, and what was added since
	looked bool
}

// DefaultDir is where indexes belong: /var/cache/narrows for root, else the folder
// narrows in what os.UserCacheDir says (XDG_CACHE_HOME, or .cache in the user's
// home).
func DefaultDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/narrows", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder for symbol indexes: %w", err)
	}
	return filepath.Join(dir, "narrows"), nil
}

// OpenFolder opens the folder dir, made with mode 0700 if it does not exist, for
// at most about maxBytes of files. The maker is whose indexes are trusted, such as
// the build ID of this program: what another one made may be made otherwise, and is
// replaced. OpenFolder refuses a folder that is a symbolic link,
// belongs to another user, or may be written by others: what is read there ends
// up as names in profiles.
func OpenFolder(dir, maker string, maxBytes int64) (*Folder, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder for symbol indexes: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making the folder for symbol indexes: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the folder for symbol indexes: %w", err)
	}
	if err := trusted(root, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the folder for symbol indexes %s: %w", dir, err), root.Close())
	}
	return &Folder{root: root, maker: maker, maxBytes: maxBytes}, nil
}

// trusted refuses an open folder in which others can put files.
func trusted(root *os.Root, dir string) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	link, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !os.SameFile(info, link):
		return errors.New("it is a symbolic link")
	case !ok || int(owner.Uid) != os.Geteuid():
		return errors.New("it belongs to another user")
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write to it (mode %04o)", info.Mode().Perm())
	}
	return nil
}

// Close closes the folder; open indexes stay usable.
func (f *Folder) Close() error { return f.root.Close() }

// Source returns what to give a Builder as the source, for the index to be found in
// this folder.
func (f *Folder) Source(madeFrom string) string { return "made by " + f.maker + " from " + madeFrom }

// Get opens the index of a build ID that was made from something. Close it. Without
// one, or with one that was made from something else, it returns nil. One that is
// damaged is removed, and the error wraps ErrDamaged.
func (f *Folder) Get(buildID, madeFrom string) (*Index, error) {
	name := fileName(buildID)
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening an index: %w", err)
	}
	x, err := f.read(file)
	if err == nil && x.buildID == buildID && x.source == f.Source(madeFrom) {
		f.note(name, file)
		x.closer = file
		return x, nil
	}
	if errors.Is(err, ErrDamaged) {
		f.root.Remove(name) // it is of no use, and built anew
	}
	return nil, errors.Join(err, file.Close())
}

func (f *Folder) read(file *os.File) (*Index, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening an index: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("opening an index: not a regular file: %w", ErrDamaged)
	}
	return Open(file, info.Size())
}

// note says that a file was used now.
func (f *Folder) note(name string, file *os.File) {
	if info, err := file.Stat(); err == nil && time.Since(info.ModTime()) > stale {
		now := time.Now()
		f.root.Chtimes(name, now, now) // at worst it is removed too early
	}
}

// Remove forgets the index of a build ID, which turned out to be damaged.
func (f *Folder) Remove(buildID string) error {
	if err := f.root.Remove(fileName(buildID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing an index: %w", err)
	}
	return nil
}

// Put writes an index, the image that a Builder made, and makes room for it. It
// replaces an older one of the same build ID.
func (f *Folder) Put(buildID string, image []byte) error {
	if err := f.put(buildID, image); err != nil {
		return fmt.Errorf("writing an index: %w", err)
	}
	return nil
}

func (f *Folder) put(buildID string, image []byte) error {
	if int64(len(image)) > f.maxBytes {
		return fmt.Errorf("%d bytes in a folder of %d: %w", len(image), f.maxBytes, ErrTooLarge)
	}
	if err := f.makeRoom(int64(len(image))); err != nil {
		return err
	}
	partial := partialPrefix + rand.Text()[:12]
	file, err := f.root.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	// Not synced: what a crash leaves of it does not match its checksums.
	_, err = file.Write(image)
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.root.Rename(partial, fileName(buildID))
	}
	if err != nil {
		return errors.Join(err, f.root.Remove(partial))
	}
	return nil
}

// Scratch makes a file without a name, which is gone when it is closed.
func (f *Folder) Scratch() (*os.File, error) {
	name := partialPrefix + rand.Text()[:12]
	file, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a scratch file: %w", err)
	}
	if err := f.root.Remove(name); err != nil {
		return nil, errors.Join(fmt.Errorf("making a scratch file: %w", err), file.Close())
	}
	return file, nil
}

// makeRoom counts the bytes of a file to come, and removes others for it if need be.
func (f *Folder) makeRoom(bytes int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.looked || f.used+bytes > f.maxBytes {
		if err := f.clean(f.maxBytes - bytes); err != nil {
			return err
		}
	}
	f.used += bytes
	return nil
}

// clean removes what processes that died have left, and, if the files take more
// than limit bytes, those not used for longest until nine tenths of it are taken.
func (f *Folder) clean(limit int64) error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	entries, err := dir.ReadDir(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	type used struct {
		name string
		size int64
		at   time.Time
	}
	var files []used
	f.used, f.looked = 0, true
	for _, entry := range entries {
		info, err := entry.Info()
		switch {
		case err != nil: // another process has removed it
		case strings.HasPrefix(entry.Name(), partialPrefix):
			if time.Since(info.ModTime()) > abandoned {
				f.root.Remove(entry.Name())
			}
		case strings.HasSuffix(entry.Name(), fileSuffix):
			files = append(files, used{entry.Name(), info.Size(), info.ModTime()})
			f.used += info.Size()
		}
	}
	if f.used <= limit {
		return nil
	}
	slices.SortFunc(files, func(a, b used) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.name, b.name)) })
	for _, file := range files {
		if f.used <= limit/10*9 {
			break
		}
		if err := f.root.Remove(file.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f.used -= file.size
	}
	return nil
}

// fileName is where the index of a build ID is kept. GNU build IDs are file names
// as they are; others, such as Go's, which have slashes, are hashed.
func fileName(buildID string) string {
	if len(buildID) >= 8 && len(buildID) <= 128 && strings.Trim(buildID, "0123456789abcdef") == "" {
		return buildID + fileSuffix
	}
	hash := sha256.Sum256([]byte(buildID))
	return "hash-" + hex.EncodeToString(hash[:20]) + fileSuffix
}
