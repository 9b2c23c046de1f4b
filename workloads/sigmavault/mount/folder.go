package mount

import (
	"context"
	"errors"
	"hash/fnv"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// folder is the root and only directory.
type folder struct {
	fs.Inode
	vault *vault.Vault
	made  time.Time

	mutex sync.Mutex
	// drafts are the files that somebody has open for writing.
	drafts map[string]*draft
}

var (
	_ fs.NodeLookuper  = (*folder)(nil)
	_ fs.NodeReaddirer = (*folder)(nil)
	_ fs.NodeCreater   = (*folder)(nil)
	_ fs.NodeUnlinker  = (*folder)(nil)
	_ fs.NodeGetattrer = (*folder)(nil)
	_ fs.NodeFsyncer   = (*folder)(nil)
)

// errnoOf is how the kernel is told an error.
func errnoOf(err error) syscall.Errno {
	var number syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &number):
		return number
	case errors.Is(err, vault.ErrNotFound):
		return syscall.ENOENT
	case errors.Is(err, vault.ErrInvalid):
		return syscall.EINVAL
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	}
	return syscall.EIO
}

// describe fills in what stat(2) tells of a file.
func (f *folder) describe(out *fuse.Attr, bytes int) {
	out.Mode, out.Nlink, out.Size = syscall.S_IFREG|0o600, 1, uint64(bytes)
	out.Blocks = (out.Size + 511) / 512
	f.owned(out)
}

func (f *folder) owned(out *fuse.Attr) {
	out.Owner = fuse.Owner{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}
	out.SetTimes(&f.made, &f.made, &f.made)
}

// Getattr describes the directory.
func (f *folder) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Nlink = syscall.S_IFDIR|0o700, 2
	f.owned(&out.Attr)
	return 0
}

// Fsync has nothing to do: a unit's name is durable when the unit is.
func (f *folder) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return 0 }

// size is a file's: as it is being written, or the unit's.
func (f *folder) size(id string) (int, error) {
	if d := f.draft(id); d != nil {
		return d.size(), nil
	}
	r, err := f.vault.Record(id)
	return r.Bytes, err
}

// draft is what somebody writes under an ID, or nil.
func (f *folder) draft(id string) *draft {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.drafts[id]
}

// begin joins those who write a file, or is the first, with its content so far.
func (f *folder) begin(id string, content func() ([]byte, error)) (*draft, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	d := f.drafts[id]
	if d == nil {
		d = &draft{folder: f, id: id}
		var err error
		if d.content, err = content(); err != nil {
			return nil, err
		}
		if f.drafts == nil {
			f.drafts = map[string]*draft{}
		}
		f.drafts[id] = d
	}
	d.writers++
	return d, nil
}

// end leaves those who write a file; the last one's leaving ends the draft.
func (f *folder) end(d *draft) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if d.writers--; d.writers == 0 {
		delete(f.drafts, d.id)
	}
}

// node is the inode of a file, the same for the same ID while the kernel knows it.
func (f *folder) node(ctx context.Context, id string) *fs.Inode {
	number := fnv.New64a()
	_, _ = number.Write([]byte(id)) // never fails
	return f.NewInode(ctx, &file{folder: f, id: id}, fs.StableAttr{Mode: syscall.S_IFREG, Ino: number.Sum64() | 1<<63})
}

// Lookup finds a file.
func (f *folder) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	bytes, err := f.size(name)
	if err != nil {
		return nil, errnoOf(err)
	}
	f.describe(&out.Attr, bytes)
	return f.node(ctx, name), 0
}

// Create makes a file, which becomes a unit when it is flushed.
func (f *folder) Create(ctx context.Context, name string, flags, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if !vault.ValidID(name) {
		return nil, nil, 0, syscall.EINVAL
	}
	d, err := f.begin(name, func() ([]byte, error) { return nil, nil })
	if err != nil {
		return nil, nil, 0, errnoOf(err)
	}
	d.change()
	f.describe(&out.Attr, d.size())
	return f.node(ctx, name), &writing{d}, fuse.FOPEN_DIRECT_IO, 0
}

// Unlink removes a unit; who still writes it makes it anew.
func (f *folder) Unlink(ctx context.Context, name string) syscall.Errno {
	err := f.vault.Delete(ctx, name)
	if errors.Is(err, vault.ErrNotFound) && f.draft(name) != nil {
		err = nil // made, and not yet flushed
	}
	return errnoOf(err)
}

// Readdir lists the units.
func (f *folder) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	const page = 1000
	var entries []fuse.DirEntry
	for after := ""; ; {
		records, err := f.vault.List(after, page)
		if err != nil {
			return nil, errnoOf(err)
		}
		for _, r := range records {
			entries = append(entries, fuse.DirEntry{Name: r.ID, Mode: syscall.S_IFREG})
		}
		if len(records) < page {
			return fs.NewListDirStream(entries), 0
		}
		after = records[page-1].ID
	}
}
