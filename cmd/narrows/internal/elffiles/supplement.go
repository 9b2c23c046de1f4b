package elffiles

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path"
	"syscall"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// Supplement finds the supplementary file that the debug information of the binary
// behind a mapping refers to.
func (f *Finder) Supplement(m *profile.Mapping, want binary.SupplementLink) (io.ReaderAt, int64, error) {
	from := cmp.Or(f.debug[m.BuildID], inside(m.File))
	for _, d := range f.folders {
		for _, name := range supplementPaths(from, want) {
			if file, size, ok := d.openSupplement(name, want); ok {
				return file, size, nil
			}
		}
	}
	return nil, 0, fmt.Errorf("supplementary file: %w", errNotFound)
}

// supplementPaths are the places of a supplementary file in a folder.
func supplementPaths(from string, want binary.SupplementLink) []string {
	var names []string
	if store := storePath(want.BuildID); store != "" {
		names = append(names, store+".debug", path.Join(debugFolder, store+".debug"))
	}
	if path.IsAbs(want.Path) {
		names = append(names, inside(want.Path))
	} else {
		names = append(names, path.Join(path.Dir(from), want.Path))
	}
	return append(names, path.Base(want.Path))
}

func (d *folder) openSupplement(name string, want binary.SupplementLink) (*os.File, int64, bool) {
	file, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, false
	}
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() {
		if _, err := binary.OpenSupplement(file, info.Size(), want); err == nil {
			return file, info.Size(), true
		}
	}
	file.Close()
	return nil, 0, false
}
