package sigmavault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// asFiles is a directory, or the mount of a service: a unit is a file. It is written
// under another name, flushed, and renamed, and then the directory is flushed, so that
// it is there whole or not at all.
type asFiles struct {
	dir string
	// plain is set where the file system cannot rename: units are written in place.
	mutex sync.Mutex
	plain bool

	dropped atomic.Bool // some unit, from the page cache
	calls   sync.WaitGroup
}

func newAsFiles(dir string) *asFiles { return &asFiles{dir: dir} }

// hangTimeout is how long close waits for system calls that do not return.
const hangTimeout = 5 * time.Second

// close waits for calls that were given up.
func (f *asFiles) close() error {
	over := make(chan struct{})
	go func() { defer close(over); f.calls.Wait() }()
	patience := time.NewTimer(hangTimeout)
	defer patience.Stop()
	select {
	case <-over:
		return nil
	case <-patience.C:
		return fmt.Errorf("the file system of %s does not answer: a call was not over after %v more", f.dir, hangTimeout)
	}
}

// call performs an operation that nothing can interrupt, and gives it up when ctx ends.
func (f *asFiles) call(ctx context.Context, operation func(*transport.Answer) error) transport.Answer {
	over := make(chan transport.Answer, 1)
	f.calls.Go(func() {
		var a transport.Answer
		err := operation(&a)
		a.End = time.Now()
		a.Outcome = metrics.OK
		if err != nil {
			a.Fail(fileOutcome(err), err)
		} else if a.FirstByte.IsZero() {
			a.FirstByte = a.End
		}
		over <- a
	})
	select {
	case a := <-over:
		return a
	case <-ctx.Done():
		a := transport.Answer{End: time.Now()}
		a.Fail(transport.Classify(ctx.Err(), false), fmt.Errorf("waiting for the file system: %w", ctx.Err()))
		return a
	}
}

// fileOutcome names an error of a file operation.
func fileOutcome(err error) metrics.Outcome {
	var number syscall.Errno
	switch {
	case errors.As(err, &number):
		return metrics.SystemOutcome(number)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return metrics.Truncated
	}
	return metrics.Unreachable
}

func (f *asFiles) path(u *unit) string { return filepath.Join(f.dir, u.id) }

func (f *asFiles) write(ctx context.Context, u *unit, content []byte) transport.Answer {
	return f.call(ctx, func(*transport.Answer) error {
		f.mutex.Lock()
		plain := f.plain
		f.mutex.Unlock()
		if plain {
			return errors.Join(writeFile(f.path(u), content), flushFolder(f.dir))
		}
		err := f.writeAside(u, content)
		if !errors.Is(err, errNoRename) {
			return err
		}
		f.mutex.Lock()
		f.plain = true
		f.mutex.Unlock()
		return errors.Join(writeFile(f.path(u), content), flushFolder(f.dir))
	})
}

// errNoRename says that a file system does not rename.
var errNoRename = errors.New("the file system cannot rename")

// writeAside writes a unit under another name and renames it.
func (f *asFiles) writeAside(u *unit, content []byte) error {
	aside := f.path(u) + ".tmp"
	err := writeFile(aside, content)
	if err == nil {
		err = os.Rename(aside, f.path(u))
		for _, refusal := range []error{unix.ENOSYS, unix.EOPNOTSUPP, unix.EXDEV, unix.EPERM} {
			if errors.Is(err, refusal) {
				err = errNoRename
			}
		}
	}
	if err != nil {
		_ = os.Remove(aside) // the first error tells more
		return err
	}
	return flushFolder(f.dir)
}

// writeFile writes a file and returns when its content is on disk.
func writeFile(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// flushFolder makes the names in a folder durable, where the file system knows that.
func flushFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		err = nil
	}
	return errors.Join(err, folder.Close())
}

func (f *asFiles) read(ctx context.Context, u *unit, buffer []byte) transport.Answer {
	return f.call(ctx, func(a *transport.Answer) error {
		file, err := os.Open(f.path(u))
		if err != nil {
			return err
		}
		defer file.Close()
		// One byte more than there should be, which tells the end and what is too long.
		if cap(buffer) <= u.size {
			buffer = make([]byte, u.size+1)
		}
		content := buffer[:u.size+1]
		n, err := file.Read(content)
		a.FirstByte = time.Now()
		for err == nil && n < len(content) {
			var more int
			more, err = file.Read(content[n:])
			n += more
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n < u.size {
			return fmt.Errorf("the file has %d bytes, %d were written: %w", n, u.size, io.ErrUnexpectedEOF)
		}
		a.Body = content[:n]
		return nil
	})
}

// drop takes a unit's file out of the page cache.
func (f *asFiles) drop(ctx context.Context, u *unit) error {
	answer := f.call(ctx, func(*transport.Answer) error {
		file, err := os.Open(f.path(u))
		if err != nil {
			return err
		}
		return errors.Join(unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED), file.Close())
	})
	f.dropped.Store(true)
	if answer.Err != nil {
		return fmt.Errorf("dropping a file from the page cache: %w", answer.Err)
	}
	return nil
}

func (f *asFiles) remove(ctx context.Context, u *unit) error {
	answer := f.call(ctx, func(*transport.Answer) error { return os.Remove(f.path(u)) })
	if answer.Err != nil && !errors.Is(answer.Err, fs.ErrNotExist) {
		return fmt.Errorf("removing a file: %w", answer.Err)
	}
	return nil
}

func (f *asFiles) notes(ctx context.Context) []string {
	answer := f.call(ctx, func(a *transport.Answer) error {
		var stat unix.Statfs_t
		if err := unix.Statfs(f.dir, &stat); err != nil {
			return err
		}
		if stat.Type == unix.TMPFS_MAGIC {
			a.Body = []byte("tmpfs")
		}
		return nil
	})
	var notes []string
	if kind := string(answer.Body); kind != "" {
		notes = append(notes, diskNote("the directory was", kind))
	}
	if f.dropped.Load() {
		notes = append(notes, "a cold read follows posix_fadvise(POSIX_FADV_DONTNEED) on the unit's file, which takes it out of the page cache of file systems that heed it; caches of a service behind the directory, and of the disk, stay")
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.plain {
		notes = append(notes, "the file system cannot rename, so units were written in place")
	}
	return notes
}
