package symbolizer

import (
	"errors"
	"io"
	"os"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// scratchPages is how many pages are kept of each scratch file.
const scratchPages = 4

// A scratch is a decompressed section in a file without a name: the debug information of
// a large program would take most of what a recording may take.
type scratch struct {
	file  *os.File
	pages pages
}

// Write is io.Writer's. What is written is read only when all is.
func (s *scratch) Write(data []byte) (int, error) {
	n, err := s.file.Write(data)
	s.pages.size += int64(n)
	return n, err
}

// ReadAt is io.ReaderAt's, but not safe for concurrent use.
func (s *scratch) ReadAt(data []byte, off int64) (int, error) { return s.pages.ReadAt(data, off) }

// Peek is that of pages.
func (s *scratch) Peek(off int64) ([]byte, error) { return s.pages.Peek(off) }

var _ interface {
	binary.Scratch
	io.Closer
} = (*scratch)(nil)

// Close gives the file up.
func (s *scratch) Close() error { return s.file.Close() }

// newScratch makes a scratch file, which is closed with the binary.
func (b *loadedBinary) newScratch() (binary.Scratch, error) {
	file, err := b.folder.Scratch()
	if err != nil {
		return nil, err
	}
	s := &scratch{file: file, pages: pages{r: file, kept: make([]page, scratchPages)}}
	b.scratches = append(b.scratches, s)
	return s, nil
}

// closeScratches closes the scratch files but the first kept ones.
func (b *loadedBinary) closeScratches(kept int) error {
	var errs []error
	for _, s := range b.scratches[kept:] {
		errs = append(errs, s.Close())
	}
	b.scratches = b.scratches[:kept]
	return errors.Join(errs...)
}

// rest gives the memory of pages back while the binary is not in use.
func (b *loadedBinary) rest() {
	for _, p := range []*pages{b.codePages, b.debugPages, b.supplementPages} {
		if p != nil {
			p.rest()
		}
	}
	for _, s := range b.scratches {
		s.pages.rest()
	}
}
