// Package elffiles finds the binaries of a profile from another host, and their debug
// files, by build ID: in folders that the user names, and among this host's own
// files.
//
// A [Finder] is what the symbolizer asks. It needs no privileges; what it may not
// read it does not have. A file is taken only if it carries the build ID that was
// asked for, whatever its name.
package elffiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// maxSearched bounds the files that are looked at in one folder.
const maxSearched = 500_000

// debugFolder is where distributions put separate debug files.
const debugFolder = "usr/lib/debug"

// Finder looks for files in folders. It is used by one goroutine.
type Finder struct {
	folders []*folder // those of the user first, then the root of this host
	wanted  []string  // build IDs
	taken   map[string]string
	debug   map[string]string // debug files in their folders, by build ID
}

// folder is one place to look in.
type folder struct {
	name string
	root *os.Root
	// search says to look into all files beneath, if the usual places have nothing;
	// found is what that brought, by build ID, nil before.
	search bool
	found  map[string]string
}

// New returns a Finder for the binaries of a profile. The folders must exist; each may
// be a copy of another host's root, a store of files by build ID, or any folder with
// binaries in it. Close it.
func New(folders []string, p *profile.Profile) (*Finder, error) {
	f := &Finder{taken: map[string]string{}, debug: map[string]string{}}
	for _, m := range p.Mapping {
		if m.BuildID != "" && !slices.Contains(f.wanted, m.BuildID) {
			f.wanted = append(f.wanted, m.BuildID)
		}
	}
	for i, name := range append(slices.Clone(folders), "/") {
		root, err := os.OpenRoot(name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("looking for binaries: %w", err), f.Close())
		}
		f.folders = append(f.folders, &folder{name: name, root: root, search: i < len(folders)})
	}
	return f, nil
}

// Close closes the folders.
func (f *Finder) Close() error {
	var failures []error
	for _, d := range f.folders {
		failures = append(failures, d.root.Close())
	}
	return errors.Join(failures...)
}

// Taken returns the path of the file that was found for a build ID, "" if none.
func (f *Finder) Taken(buildID string) string { return f.taken[buildID] }

// Errors of a search, as they are shown to people.
var (
	errNoBuildID = errors.New("the profile has no build ID of it, so no file can be told to be the one")
	errNotFound  = errors.New("not found")
)

// Binary finds the file behind a mapping.
func (f *Finder) Binary(m *profile.Mapping) (io.ReaderAt, int64, error) {
	if m.BuildID == "" {
		return nil, 0, errNoBuildID
	}
	for _, d := range f.folders {
		file, name, ok := d.binary(m, f.wanted)
		if !ok {
			continue
		}
		info, err := file.Stat()
		if err != nil {
			return nil, 0, errors.Join(err, file.Close())
		}
		f.taken[m.BuildID] = filepath.Join(d.name, name)
		return file, info.Size(), nil
	}
	return nil, 0, fmt.Errorf("build ID %s: %w %s", m.BuildID, errNotFound, f.places(m))
}

// places says where was looked for a binary.
func (f *Finder) places(m *profile.Mapping) string {
	var places []string
	for _, d := range f.folders {
		if d.search {
			places = append(places, "in "+d.name)
		} else if name := inside(m.File); name != "" {
			places = append(places, "at "+filepath.Join(d.name, name))
		}
	}
	return strings.Join(places, ", ")
}

// binary finds the file behind a mapping in this folder: by build ID, by its whole
// path, by its name alone, and then by looking into all files.
func (d *folder) binary(m *profile.Mapping, wanted []string) (*os.File, string, bool) {
	is := func(b *binary.File) bool { return b.HasBuildID(m.BuildID) }
	var names []string
	if store := storePath(m.BuildID); d.search && store != "" {
		names = append(names, store, path.Join(debugFolder, store))
	}
	if name := inside(m.File); name != "" {
		names = append(names, name)
		if d.search {
			names = append(names, path.Base(name))
		}
	}
	for _, name := range names {
		if file, ok := d.open(name, is); ok {
			return file, name, true
		}
	}
	if !d.search {
		return nil, "", false
	}
	if d.found == nil {
		d.look(wanted)
	}
	name, ok := d.found[m.BuildID]
	if !ok {
		return nil, "", false
	}
	file, ok := d.open(name, is)
	return file, name, ok
}

// inside makes a mapping's file a path below a root, "" if it is none.
func inside(file string) string {
	name := strings.TrimPrefix(strings.TrimSuffix(file, " (deleted)"), "/")
	if !fs.ValidPath(name) || name == "." {
		return ""
	}
	return name
}

// storePath is where a store of files by build ID has one, "" if the build ID is not
// one that a store can have.
func storePath(buildID string) string {
	if len(buildID) < 4 || strings.Trim(buildID, "0123456789abcdef") != "" {
		return ""
	}
	return path.Join(".build-id", buildID[:2], buildID[2:])
}

// open opens a file of the folder if it is an ELF file that is the one.
func (d *folder) open(name string, is func(*binary.File) bool) (*os.File, bool) {
	// O_NONBLOCK: a named pipe must not block.
	file, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, false
	}
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() {
		if b, err := binary.Open(file, info.Size()); err == nil && is(b) {
			return file, true
		}
	}
	file.Close()
	return nil, false
}

// look reads the build IDs of all files beneath the folder.
func (d *folder) look(wanted []string) {
	d.found = map[string]string{}
	looked := 0
	// What cannot be listed has no binaries.
	fs.WalkDir(d.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil
		}
		if looked++; looked > maxSearched {
			return fs.SkipAll
		}
		file, ok := d.open(name, func(b *binary.File) bool {
			for _, id := range wanted {
				if _, known := d.found[id]; !known && b.HasBuildID(id) && hasCode(b) {
					d.found[id] = name
					return true
				}
			}
			return false
		})
		if ok {
			return file.Close()
		}
		return nil
	})
}

// hasCode tells a binary from a debug file of the same build ID, which has the
// sections but not their bytes.
func hasCode(b *binary.File) bool { return b.HasContents(".text") }

// DebugFile finds the separate debug file of the binary behind a mapping.
func (f *Finder) DebugFile(m *profile.Mapping, want binary.DebugLink) (io.ReaderAt, int64, error) {
	for _, d := range f.folders {
		for _, name := range debugPaths(m, want) {
			if !d.search && !strings.HasPrefix(name, debugFolder) && !strings.HasPrefix(name, path.Dir(inside(m.File))) {
				continue
			}
			file, ok := d.open(name, func(*binary.File) bool { return true })
			if !ok {
				continue
			}
			info, err := file.Stat()
			if err == nil && f.means(m, want, file, info.Size()) {
				f.debug[m.BuildID] = name
				return file, info.Size(), nil
			}
			file.Close()
		}
	}
	return nil, 0, fmt.Errorf("debug file: %w", errNotFound)
}

// means tells whether a debug file is the one that a binary means.
func (f *Finder) means(m *profile.Mapping, want binary.DebugLink, file io.ReaderAt, size int64) bool {
	const maxChecksummed = 256 << 20
	if want.BuildID == "" && size > maxChecksummed {
		return false
	}
	code, err := os.Open(f.taken[m.BuildID])
	if err != nil {
		return false
	}
	defer code.Close()
	info, err := code.Stat()
	if err != nil {
		return false
	}
	b, err := binary.Open(code, info.Size())
	if err != nil {
		return false
	}
	ok, err := want.Matches(file, size, b)
	return ok && err == nil
}

// debugPaths are the places of debug files in a folder (GDB's manual, "Separate Debug
// Files").
func debugPaths(m *profile.Mapping, want binary.DebugLink) []string {
	var names []string
	if store := storePath(want.BuildID); store != "" {
		names = append(names, store+".debug", path.Join(debugFolder, store+".debug"))
	}
	if want.Name != "" {
		dir := path.Dir(inside(m.File))
		names = append(names, path.Join(dir, want.Name), path.Join(dir, ".debug", want.Name), path.Join(debugFolder, dir, want.Name), want.Name)
	}
	return names
}
