package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
)

// openMapped opens the file behind a mapping, by the surest way that still works:
// through the mapping itself, which finds deleted and replaced files too; by its
// path beneath the process's root; by its path beneath ours, where another
// container's file would be told by its identity.
func openMapped(pid uint32, mapping lifecycle.Mapping) (io.ReaderAt, int64, func() error, error) {
	if mapping.Path == vdso {
		return openVDSO()
	}
	if !hasFile(mapping.Path) {
		return nil, 0, nil, ErrNoFile
	}
	path := strings.TrimSuffix(mapping.Path, " (deleted)")
	proc := fmt.Sprintf("/proc/%d", pid)
	attempts := []func() (*os.File, error){
		func() (*os.File, error) {
			return reopen(fmt.Sprintf("%s/map_files/%x-%x", proc, mapping.Start, mapping.End))
		},
		func() (*os.File, error) { return openBeneath(proc+"/root", path) },
		func() (*os.File, error) { return openBeneath("/", path) },
	}
	var failures []error
	for i, open := range attempts {
		f, err := open()
		if err == nil {
			var size int64
			// A link to the mapping needs no proof. A path does, of the inode at
			// least; a build ID is compared once the headers are read.
			if size, err = regular(f, mapping.File, i > 0); err == nil {
				return f, size, f.Close, nil
			}
			f.Close()
		}
		failures = append(failures, err)
	}
	return nil, 0, nil, errors.Join(failures...)
}

// vdso is how the kernel names the code page that it maps into every process.
const vdso = "[vdso]"

// hasFile tells by the name the kernel gives a mapping whether there are bytes to
// read behind it: "//anon", "[stack]" and "" have none.
func hasFile(path string) bool {
	return path == vdso || strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//")
}

// reopen opens what a link of /proc leads to, if it is a regular file: opening a
// device can have effects.
func reopen(link string) (*os.File, error) {
	fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("following the mapping: %w", err)
	}
	return openPathFD(fd)
}

// openBeneath opens a path as if root were the root of the file system: links in it
// cannot lead out.
func openBeneath(root, path string) (*os.File, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the root %s: %w", root, err)
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, strings.TrimPrefix(path, "/"), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("opening %s beneath %s: %w", path, root, err)
	}
	return openPathFD(fd)
}

// openPathFD turns a descriptor that only names a file into one that reads it.
func openPathFD(fd int) (*os.File, error) {
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, fmt.Errorf("examining the file: %w", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("not a regular file (mode %o)", stat.Mode)
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// regular returns the size of the file, after checking, where asked to, that it is
// the inode that was mapped.
func regular(f *os.File, want lifecycle.FileIdentity, check bool) (int64, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return 0, fmt.Errorf("examining the file: %w", err)
	}
	if check && want.BuildID == "" {
		if stat.Ino != want.Inode || unix.Major(stat.Dev) != want.Major || unix.Minor(stat.Dev) != want.Minor {
			return 0, ErrChanged
		}
	}
	return stat.Size, nil
}

// openVDSO copies the code page the kernel maps into every process out of our own.
func openVDSO() (io.ReaderAt, int64, func() error, error) {
	self, err := procfs.Self()
	if err != nil {
		return nil, 0, nil, fmt.Errorf("finding the vDSO: %w", err)
	}
	maps, err := self.ProcMaps()
	if err != nil {
		return nil, 0, nil, fmt.Errorf("finding the vDSO: %w", err)
	}
	for _, m := range maps {
		if m.Pathname != vdso {
			continue
		}
		memory, err := os.Open("/proc/self/mem")
		if err != nil {
			return nil, 0, nil, fmt.Errorf("reading the vDSO: %w", err)
		}
		defer memory.Close()
		image := make([]byte, m.EndAddr-m.StartAddr)
		if _, err := memory.ReadAt(image, int64(m.StartAddr)); err != nil {
			return nil, 0, nil, fmt.Errorf("reading the vDSO: %w", err)
		}
		return bytes.NewReader(image), int64(len(image)), func() error { return nil }, nil
	}
	return nil, 0, nil, errors.New("this process has no vDSO")
}
