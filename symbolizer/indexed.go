package symbolizer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

// indexed is a binary's index, and what is to be added to it.
type indexed struct {
	source string // what it is made from; "" if the binary must not have one
	file   *index.Index
	folder *index.Folder
	id     string // build ID

	names   map[uint32]string // by number of the function: names that file lacks
	put     bool              // the folder has the index with all names so far; file is nil until it is needed again
	counted bool              // what file takes was
	partial bool              // the index is, or will be, of what was asked for only
	large   bool              // it cannot be of all code
	asked   int               // addresses, so far
}

// source says what an index is made from: the very files, by what nobody but root
// can forge. A build ID does not tell: any program may carry that of another, and
// would give its names to all later recordings. It is "" where the files are not
// known, or the build ID is not one.
func (b *loadedBinary) source() string {
	if strings.HasPrefix(b.file.BuildID(), binary.ContentPrefix) {
		return ""
	}
	var files []string
	for _, part := range []struct {
		name  string
		pages *pages
	}{{"", b.codePages}, {"debug file ", b.debugPages}, {"supplementary file ", b.supplementPages}} {
		if part.pages == nil {
			continue
		}
		identity, ok := fileIdentity(part.pages.r)
		if !ok {
			return ""
		}
		files = append(files, part.name+identity)
	}
	return strings.Join(files, ", ")
}

// fileIdentity tells files apart: by device, inode, the time of the last change, and
// size.
func fileIdentity(r io.ReaderAt) (string, bool) {
	file, ok := r.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return "", false
	}
	info, err := file.Stat()
	if err != nil {
		return "", false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", false
	}
	return fmt.Sprintf("%d:%d changed %d.%09d, %d bytes", stat.Dev, stat.Ino, stat.Ctim.Sec, stat.Ctim.Nsec, stat.Size), true
}

// nameByIndex names what the index of a binary can name, or makes the index, and returns
// the locations that must be looked up otherwise.
func (s *Symbolizer) nameByIndex(ctx context.Context, l *lookup, r binaryResolver, locations []*profile.Location) ([]*profile.Location, error) {
	b, x := r.binary, &r.binary.indexed
	x.asked += len(locations)
	if s.config.Indexes == nil || x.source == "" {
		return locations, nil
	}
	s.openIndex(b)
	whole := !x.large && (plain(b) || x.worthAll(r.mapping))
	if x.file == nil && b.table == nil || x.file != nil && x.partial && whole {
		return s.firstPass(ctx, l, r, locations, whole)
	}
	if x.file == nil {
		return locations, nil
	}
	l.place(r, locations)
	in := indexLookup{lookup: l, indexed: x}
	rest, err := in.name(ctx)
	x.file.Rest()
	if errors.Is(err, index.ErrDamaged) {
		// It is made anew the next time that the binary is opened.
		err = errors.Join(err, x.folder.Remove(x.id))
	}
	if err != nil { // it costs time, not names
		x.drop()
		return rest, ctx.Err()
	}
	return rest, nil
}

// openIndex opens the index of a binary, if there is one.
func (s *Symbolizer) openIndex(b *loadedBinary) {
	x := &b.indexed
	if x.folder != nil && !(x.put && x.file == nil) {
		return
	}
	x.folder, x.id, x.names = s.config.Indexes, b.file.BuildID(), map[uint32]string{}
	// One that cannot be read is made anew, and then replaces it.
	if x.file, _ = x.folder.Get(x.id, x.source); x.file == nil {
		return
	}
	x.partial = x.file.Partial()
	if !x.counted {
		x.counted = true
		b.grow(x.file.Memory())
	}
}

// plain tells whether all that a binary knows of its code is symbols, which are read
// as a whole anyway.
func plain(b *loadedBinary) bool {
	return b.debug == nil && !b.file.HasContents(".debug_info") && !b.file.HasContents(".zdebug_info") &&
		!b.file.HasContents(".gopclntab") && !b.file.HasContents(".data.rel.ro.gopclntab")
}

// worthAll tells whether so much was asked of a binary with lines that an index of all
// its code costs less: looking one address up takes about as long as going through
// five pieces of code of one line, which have about ten bytes.
func (x *indexed) worthAll(m *profile.Mapping) bool { return uint64(x.asked)*5 >= (m.Limit-m.Start)/10 }

// write writes the index with all names.
func (x *indexed) write() bool {
	image, err := x.file.WithNames(x.names)
	if err != nil {
		return false
	}
	return x.folder.Put(x.id, image) == nil
}

// learn writes a partial index of what it knew and of what was looked up since.
func (b *loadedBinary) learn() {
	x := &b.indexed
	if x.folder == nil || !x.partial || b.table == nil || len(b.table.Problems()) > 0 ||
		len(b.addresses) == 0 || x.file != nil && len(b.addresses) <= fewNames {
		return
	}
	builder := index.Builder{Partial: true}
	if x.file != nil {
		for span, err := range x.file.Spans() {
			if err == nil {
				err = builder.AddSpan(span)
			}
			if err != nil {
				return
			}
		}
	}
	for addr, r := range b.addresses {
		if r.reason != "" && r.reason != NoSymbol {
			continue
		}
		span := index.Span{Low: addr, High: addr + 1}
		for _, f := range r.frames {
			span.Frames = append(span.Frames, index.Frame{Line: int(f.line), Function: index.Function{
				SystemName: f.systemName, Name: f.name, File: f.file, StartLine: int(f.startLine),
			}})
		}
		if builder.AddSpan(span) != nil {
			return
		}
	}
	if image, err := builder.Image(x.id, x.folder.Source(x.source)); err == nil {
		// A folder that fails costs time the next time.
		_ = x.folder.Put(x.id, image)
	}
}

// fewNames is how many names may be made, and addresses looked up, again the next time
// rather than written.
const fewNames = 100

// close keeps the names that were made since the index was saved, if it is worth it.
func (x *indexed) close() error {
	if x.file == nil {
		return nil
	}
	if len(x.names) > fewNames && !x.partial {
		x.write()
	}
	err := x.file.Close()
	x.file, x.names = nil, nil
	return err
}

// drop goes on without the index.
func (x *indexed) drop() {
	if x.file != nil {
		x.file.Close()
	}
	*x = indexed{}
}
