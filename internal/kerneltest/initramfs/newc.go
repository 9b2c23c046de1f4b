// Package initramfs writes the archive that a Linux kernel unpacks into its first root file system.
//
// Entries go in through [Writer]'s methods; out comes a cpio archive in the "newc" format (magic 070701) on the io.Writer given to [NewWriter]. Everything belongs to
// root and carries time 0, so equal entries give equal archives. The layout is that of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// The file type bits of a cpio mode, those of stat(2).
const (
	typeRegular   = 0o100000
	typeDirectory = 0o040000
	typeSymlink   = 0o120000
)

// trailer is the name of the entry that ends an archive.
const trailer = "TRAILER!!!"

// Writer writes one archive. Parents of an entry that were not added before are added with mode 0755, since the kernel drops entries whose folder does not exist.
// It is not safe for concurrent use.
type Writer struct {
	out     io.Writer
	inode   uint32
	written map[string]bool
}

// NewWriter returns a Writer that writes to out, which the caller closes after [Writer.Close].
func NewWriter(out io.Writer) *Writer {
	return &Writer{out: out, written: map[string]bool{".": true}}
}

// Directory adds the folder name with the given permissions. A folder that is already there stays as it is.
func (w *Writer) Directory(name string, perm fs.FileMode) error {
	name, err := w.prepare(name)
	if err != nil || w.written[name] {
		return err
	}
	return w.entry(name, typeDirectory|uint32(perm.Perm()), 0, nil)
}

// Symlink adds a symbolic link from name to target.
func (w *Writer) Symlink(name, target string) error {
	return w.add(name, typeSymlink|0o777, int64(len(target)), strings.NewReader(target))
}

// Bytes adds a regular file that holds data.
func (w *Writer) Bytes(name string, perm fs.FileMode, data []byte) error {
	return w.add(name, typeRegular|uint32(perm.Perm()), int64(len(data)), strings.NewReader(string(data)))
}

// File adds a copy of the host's regular file under name, with its permissions.
func (w *Writer) File(name, host string) error {
	file, err := os.Open(host)
	if err != nil {
		return fmt.Errorf("adding %s to the initramfs: %w", name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("adding %s to the initramfs: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("adding %s to the initramfs: %s is not a regular file", name, host)
	}
	return w.add(name, typeRegular|uint32(info.Mode().Perm()), info.Size(), file)
}

// Tree adds a copy of the host's file or folder under name. Links are copied as links, sockets, pipes and devices are refused.
func (w *Writer) Tree(name, host string) error {
	return filepath.WalkDir(host, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("adding %s to the initramfs: %w", host, err)
		}
		below, err := filepath.Rel(host, file)
		if err != nil {
			return fmt.Errorf("adding %s to the initramfs: %w", host, err)
		}
		inside := path.Join(name, filepath.ToSlash(below))
		info, err := entry.Info()
		if err != nil {
			return fmt.Errorf("adding %s to the initramfs: %w", file, err)
		}
		switch {
		case entry.IsDir():
			return w.Directory(inside, info.Mode())
		case info.Mode()&fs.ModeSymlink != 0 && file != host:
			target, err := os.Readlink(file)
			if err != nil {
				return fmt.Errorf("adding %s to the initramfs: %w", file, err)
			}
			return w.Symlink(inside, target)
		default:
			return w.File(inside, file)
		}
	})
}

// Close ends the archive; without it the kernel reports a broken one.
func (w *Writer) Close() error {
	return w.entry(trailer, 0, 0, nil)
}

// add writes a new entry that is not a folder.
func (w *Writer) add(name string, mode uint32, size int64, data io.Reader) error {
	name, err := w.prepare(name)
	if err != nil {
		return err
	}
	if w.written[name] {
		return fmt.Errorf("adding %s to the initramfs: it is already there", name)
	}
	return w.entry(name, mode, size, data)
}

// prepare makes name relative to the root and adds the folders it lies in.
func (w *Writer) prepare(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("adding %q to the initramfs: a name cannot hold a zero byte", name)
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return ".", nil
	}
	if parent := path.Dir(name); !w.written[parent] {
		if err := w.Directory(parent, 0o755); err != nil {
			return "", err
		}
	}
	return name, nil
}

// entry writes header, name and data, each padded to 4 bytes.
func (w *Writer) entry(name string, mode uint32, size int64, data io.Reader) error {
	if size > math.MaxUint32 {
		return fmt.Errorf("adding %s to the initramfs: %d bytes are more than the format's 32-bit size holds", name, size)
	}
	w.inode++
	w.written[name] = true
	links := 1
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		w.inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name)+1, 0) + name + "\x00"
	if _, err := io.WriteString(w.out, header+padding(int64(len(header)))); err != nil {
		return fmt.Errorf("writing the initramfs: %w", err)
	}
	if data == nil {
		return nil
	}
	if _, err := io.CopyN(w.out, data, size); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("it became shorter than its %d bytes while it was read", size)
		}
		return fmt.Errorf("adding %s to the initramfs: %w", name, err)
	}
	if _, err := io.WriteString(w.out, padding(size)); err != nil {
		return fmt.Errorf("writing the initramfs: %w", err)
	}
	return nil
}

// padding returns the zero bytes that fill n up to a multiple of 4.
func padding(n int64) string {
	return "\x00\x00\x00"[:(4-n%4)%4]
}
