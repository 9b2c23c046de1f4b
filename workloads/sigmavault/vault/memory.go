package vault

import (
	"fmt"
	"os"
	"unsafe"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// prefetch asks the kernel to read a value that lies in the mapped file all at once,
// which page faults would do page by page: the engine maps its file for random
// access. A refusal costs time and nothing else.
func prefetch(value []byte) {
	const few = 16 << 10
	if len(value) < few {
		return
	}
	start := unsafe.Pointer(unsafe.SliceData(value))
	before := int(uintptr(start) % uintptr(os.Getpagesize()))
	whole := unsafe.Slice((*byte)(unsafe.Add(start, -before)), before+len(value))
	_ = unix.Madvise(whole, unix.MADV_WILLNEED)
}

// dropPages takes the engine's file out of this process's mapping and out of the
// page cache, so that the next read comes from the disk. The kernel keeps pages that
// another process maps, and file systems without a disk keep all of them.
func dropPages(db *bbolt.DB, file *os.File) error {
	// The mapping stays where it is while a transaction is open.
	return db.View(func(tx *bbolt.Tx) error {
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, db.Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
		if errno != 0 {
			return fmt.Errorf("unmapping the engine's pages: %w", errno)
		}
		if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return fmt.Errorf("dropping the engine's file from the page cache: %w", err)
		}
		return nil
	})
}

// FileSystem names the file system that the vault is on, or gives its number.
func (v *Vault) FileSystem() string {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(v.file.Fd()), &stat); err != nil {
		return "unknown"
	}
	switch stat.Type { // by the numbers of statfs(2)
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	}
	return fmt.Sprintf("%#x", stat.Type)
}
