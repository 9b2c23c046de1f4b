package mount

import (
	"bytes"
	"context"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// maxFile bounds a file while it is written and so in memory.
const maxFile = 4 << 20

// file is a unit as a file.
type file struct {
	fs.Inode
	folder *folder
	id     string
}

var (
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
)

// Getattr describes the file.
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	bytes, err := f.folder.size(f.id)
	if err == nil {
		f.folder.describe(&out.Attr, bytes)
	}
	return errnoOf(err)
}

// Setattr changes the size; what else is asked for is ignored.
func (f *file) Setattr(ctx context.Context, handle fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		resize := func() error { return f.resize(ctx, size) }
		if w, open := handle.(*writing); open {
			resize = func() error { return w.draft.resize(size) } // stored when it is flushed
		}
		if err := resize(); err != nil {
			return errnoOf(err)
		}
	}
	return f.Getattr(ctx, nil, out)
}

// resize changes the size of a file that the caller has not open.
func (f *file) resize(ctx context.Context, size uint64) error {
	d, err := f.folder.begin(f.id, f.content)
	if err != nil {
		return err
	}
	defer f.folder.end(d)
	if err := d.resize(size); err != nil {
		return err
	}
	return d.store(ctx)
}

// content is the unit's as it is stored.
func (f *file) content() ([]byte, error) {
	_, parts, err := f.folder.vault.Get(f.id)
	return bytes.Join(parts, nil), err
}

// Open opens the file as it is now: a reader goes on to see that, whatever is written.
func (f *file) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		_, parts, err := f.folder.vault.Get(f.id)
		return &reading{parts}, fuse.FOPEN_DIRECT_IO, errnoOf(err)
	}
	content := f.content
	if flags&syscall.O_TRUNC != 0 {
		content = func() ([]byte, error) { return nil, nil }
	}
	d, err := f.folder.begin(f.id, content)
	if err == nil && flags&syscall.O_TRUNC != 0 {
		err = d.resize(0)
	}
	if err != nil {
		return nil, 0, errnoOf(err)
	}
	return &writing{d}, fuse.FOPEN_DIRECT_IO, 0
}

// reading is an open file that is not written: a unit's chunks.
type reading struct {
	parts [][]byte
}

var _ fs.FileReader = (*reading)(nil)

// Read copies from the chunks.
func (r *reading) Read(_ context.Context, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	n := 0
	for number := offset / vault.ChunkBytes; n < len(dest) && number < int64(len(r.parts)); number++ {
		within := max(0, offset+int64(n)-number*vault.ChunkBytes)
		part := r.parts[number]
		if within >= int64(len(part)) {
			break
		}
		n += copy(dest[n:], part[within:])
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// draft is a file while it is written.
type draft struct {
	folder  *folder
	id      string
	writers int // the folder's to count

	mutex   sync.Mutex
	content []byte
	changed bool // since it was stored
}

func (d *draft) size() int {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return len(d.content)
}

// change makes the next flush store it.
func (d *draft) change() {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.changed = true
}

func (d *draft) resize(size uint64) error {
	if size > maxFile {
		return syscall.EFBIG
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if n := int(size); n <= len(d.content) {
		d.content = d.content[:n:n] // what lay behind must not come back
	} else {
		d.content = append(d.content, make([]byte, n-len(d.content))...)
	}
	d.changed = true
	return nil
}

// store makes a unit of what is there and returns when that is durable.
func (d *draft) store(ctx context.Context) error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if !d.changed {
		return nil
	}
	// The vault keeps what it is given, and the draft may go on.
	_, err := d.folder.vault.Put(ctx, &vault.Unit{ID: d.id, Content: bytes.Clone(d.content)})
	d.changed = err != nil
	return err
}

// writing is a file that is open for writing.
type writing struct {
	draft *draft
}

var (
	_ fs.FileReader   = (*writing)(nil)
	_ fs.FileWriter   = (*writing)(nil)
	_ fs.FileFlusher  = (*writing)(nil)
	_ fs.FileFsyncer  = (*writing)(nil)
	_ fs.FileReleaser = (*writing)(nil)
)

// Read reads what was written so far.
func (w *writing) Read(_ context.Context, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	w.draft.mutex.Lock()
	defer w.draft.mutex.Unlock()
	n := 0
	if offset < int64(len(w.draft.content)) {
		n = copy(dest, w.draft.content[offset:])
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Write takes bytes into the draft; a gap is zeros.
func (w *writing) Write(_ context.Context, data []byte, offset int64) (uint32, syscall.Errno) {
	end := uint64(offset) + uint64(len(data))
	if offset < 0 || end > maxFile {
		return 0, syscall.EFBIG
	}
	if int(end) > w.draft.size() {
		if err := w.draft.resize(end); err != nil {
			return 0, errnoOf(err)
		}
	}
	w.draft.mutex.Lock()
	defer w.draft.mutex.Unlock()
	if int(end) > len(w.draft.content) {
		return 0, syscall.EAGAIN // another writer has just cut it off
	}
	w.draft.changed = true
	return uint32(copy(w.draft.content[offset:], data)), 0
}

// Flush stores what was written, at each close(2).
func (w *writing) Flush(ctx context.Context) syscall.Errno { return errnoOf(w.draft.store(ctx)) }

// Fsync stores what was written.
func (w *writing) Fsync(ctx context.Context, _ uint32) syscall.Errno {
	return errnoOf(w.draft.store(ctx))
}

// Release ends the writing.
func (w *writing) Release(context.Context) syscall.Errno {
	w.draft.folder.end(w.draft)
	return 0
}
