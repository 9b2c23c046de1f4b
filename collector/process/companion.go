package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A companion is a file with debug information of a binary.
type companion struct {
	file *os.File // nil if err says why not
	size int64
	path string
	err  error
}

// openCompanions opens the binary's separate debug file, if the binary has no debug
// information itself, and the supplementary file that its debug information refers to,
// while the process that can lead to them lives.
func (b *Binary) openCompanions(pid uint32) {
	b.debug.err, b.supplement.err = errNoDebugFile, errNoSupplement
	if b.Path == vdso {
		return
	}
	roots := []string{fmt.Sprintf("/proc/%d/root", pid), "/"}
	from, at := b.file, b.Path
	if !b.file.HasContents(".debug_info") {
		b.debug = openDebugFile(roots, b.Path, b.file)
		b.closeLater(b.debug)
		if b.debug.file == nil {
			return
		}
		debug, err := binary.OpenDebug(b.debug.file, b.debug.size, b.file)
		if err != nil {
			return
		}
		from, at = debug, b.debug.path
	}
	if link, ok := from.SupplementLink(); ok {
		b.supplement = openSupplement(roots, at, link)
		b.closeLater(b.supplement)
	}
}

func (b *Binary) closeLater(c companion) {
	if c.file != nil {
		closeOthers := b.close
		b.close = func() error { return errors.Join(closeOthers(), c.file.Close()) }
	}
}

// errNoSupplement says that none of the usual places has the file.
var errNoSupplement = errors.New("no supplementary debug file")

// openSupplement looks for the supplementary file of the debug information in a file:
// by build ID, and where the link says, beneath each of the roots.
func openSupplement(roots []string, from string, link binary.SupplementLink) companion {
	failures := []error{errNoSupplement}
	for _, candidate := range supplementPaths(from, link) {
		for _, root := range roots {
			f, err := openBeneath(root, candidate)
			if err != nil {
				if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
					failures = append(failures, err)
				}
				continue
			}
			info, err := f.Stat()
			if err == nil {
				if _, err = binary.OpenSupplement(f, info.Size(), link); err == nil {
					return companion{file: f, size: info.Size(), path: candidate}
				}
			}
			failures = append(failures, fmt.Errorf("%s beneath %s: %w", candidate, root, errors.Join(err, f.Close())))
		}
	}
	return companion{err: errors.Join(failures...)}
}

func supplementPaths(from string, link binary.SupplementLink) []string {
	paths := []string{path.Join(debugFolder, ".build-id", link.BuildID[:2], link.BuildID[2:]+".debug")}
	if path.IsAbs(link.Path) {
		return append(paths, link.Path)
	}
	return append(paths, path.Join(path.Dir(from), link.Path))
}

// DebugFile gives the bytes of the separate debug file of a known file, by the path
// and build ID that its File reports.
func (b *Binaries) DebugFile(path, buildID string) (io.ReaderAt, int64, error) {
	found, err := b.find(path, buildID)
	if err != nil {
		return nil, 0, err
	}
	return found.debug.shared()
}

// Supplement gives the bytes of the supplementary file that the debug information of a
// known file refers to.
func (b *Binaries) Supplement(path, buildID string) (io.ReaderAt, int64, error) {
	found, err := b.find(path, buildID)
	if err != nil {
		return nil, 0, err
	}
	return found.supplement.shared()
}

func (c companion) shared() (io.ReaderAt, int64, error) {
	if c.file == nil {
		return nil, 0, c.err
	}
	return shared(c.file, c.size), c.size, nil
}
