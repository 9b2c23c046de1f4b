package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

const (
	// maxOpen bounds the files held open, beside a third of what RLIMIT_NOFILE allows:
	// each may have a debug file.
	// A machine that runs more different executables and libraries than this leaves
	// the rest unnamed.
	maxOpen = 4096
	// maxKnown bounds the files remembered: a process can map as many as it likes.
	maxKnown = 65536
)

// openers is how many files are opened at once. Opening runs beside the events,
// since a file on a dead network mount can hang whoever reads it.
const openers = 4

// openTimeout is how long anyone waits for a file to be opened.
const openTimeout = 2 * time.Second

var (
	// ErrNoFile says that a mapping is memory without a file: a JIT's code, a stack.
	ErrNoFile = errors.New("no file is mapped there")
	// ErrChanged says that what the path leads to now is not what was mapped.
	ErrChanged = errors.New("the file is no longer the one that was mapped")
	// ErrTooMany says that the limit of open files was reached.
	ErrTooMany = errors.New("too many different files are mapped on this machine")
)

// Binary is a file that is mapped for execution somewhere. It is opened once,
// however many processes map it, and stays readable when it is deleted or replaced.
type Binary struct {
	Path string // as seen by the process that mapped it, or the kernel's name
	// BuildID is what the kernel read from the mapped pages, "" if it found none.
	BuildID string

	opened chan struct{}
	reader io.ReaderAt
	close  func() error
	size   int64
	file   *binary.File
	err    error

	debug, supplement companion
}

// Anonymous tells whether the mapping is memory without a file, where an offset
// means nothing.
func (b *Binary) Anonymous() bool { return !hasFile(b.Path) }

// Ready tells whether File answers at once.
func (b *Binary) Ready() bool {
	select {
	case <-b.opened:
		return true
	default:
		return false
	}
}

// File waits for the ELF file to be opened, or tells why it cannot be.
func (b *Binary) File() (*binary.File, error) {
	select {
	case <-b.opened: // nearly always, and without a timer
		return b.file, b.err
	default:
	}
	timer := time.NewTimer(openTimeout)
	defer timer.Stop()
	select {
	case <-b.opened:
		return b.file, b.err
	case <-timer.C:
		return nil, fmt.Errorf("opening %s: %w", b.Path, os.ErrDeadlineExceeded)
	}
}

// Reader gives the file's bytes and their number, or tells why it cannot.
func (b *Binary) Reader() (io.ReaderAt, int64, error) {
	if _, err := b.File(); err != nil {
		return nil, 0, err
	}
	return b.reader, b.size, nil
}

// ProbePath is a path by which the kernel finds the file to put probes into, whatever became
// of its name. It is good as long as the file is open.
func (b *Binary) ProbePath() (string, error) {
	reader, _, err := b.Reader()
	if err != nil {
		return "", err
	}
	f, ok := reader.(*os.File)
	if !ok {
		return "", fmt.Errorf("%s is no file that probes can be put into", b.Path)
	}
	return fmt.Sprintf("/proc/self/fd/%d", f.Fd()), nil
}

// Binaries is all files mapped for execution. It may be used by several goroutines.
type Binaries struct {
	mu      sync.Mutex
	known   map[fileKey]*Binary
	open    int
	maxOpen int

	requests chan request
	wait     sync.WaitGroup
}

// fileKey tells mapped files apart. Memory without a file is told apart by name. Two
// files of one build ID are taken for one: they have the same code, though linkers
// that leave symbol tables out of the ID may have given them different names.
type fileKey struct {
	identity lifecycle.FileIdentity
	name     string
}

type request struct {
	binary  *Binary
	pid     uint32
	mapping lifecycle.Mapping
}

// NewBinaries starts the goroutines that open files; Close ends them.
func NewBinaries() *Binaries {
	// There are never more requests than files to open, so Get never waits.
	b := &Binaries{known: map[fileKey]*Binary{}, maxOpen: maxOpen, requests: make(chan request, maxOpen)}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		b.maxOpen = int(min(limit.Cur/3, maxOpen))
	}
	for range openers {
		b.wait.Go(func() {
			for r := range b.requests {
				r.binary.load(r.pid, r.mapping)
			}
		})
	}
	return b
}

// Get returns the file behind a mapping of a process, and has it opened if it was
// not known. It never waits.
func (b *Binaries) Get(pid uint32, mapping lifecycle.Mapping) *Binary {
	path := strings.TrimSuffix(mapping.Path, " (deleted)")
	key := fileKey{identity: mapping.File}
	if mapping.File.BuildID == "" && mapping.File.Inode == 0 {
		key.name = path
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.known[key]; ok {
		return known
	}
	created := &Binary{Path: path, BuildID: mapping.File.BuildID, opened: make(chan struct{})}
	if len(b.known) < maxKnown {
		b.known[key] = created
	}
	switch {
	case created.Anonymous():
		created.fail(ErrNoFile)
		return created
	case b.open >= b.maxOpen:
		created.fail(ErrTooMany)
		return created
	}
	b.open++
	b.requests <- request{binary: created, pid: pid, mapping: mapping}
	return created
}

// Close ends the openers and closes all files. A file whose opening hangs is left
// to the end of the process, with an error.
func (b *Binaries) Close() error {
	close(b.requests)
	ended := make(chan struct{})
	go func() {
		b.wait.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(openTimeout):
		return fmt.Errorf("closing the mapped files: some are still being opened: %w", os.ErrDeadlineExceeded)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var failures []error
	for _, known := range b.known {
		if known.close != nil {
			failures = append(failures, known.close())
		}
	}
	return errors.Join(failures...)
}

func (b *Binary) fail(err error) {
	b.err = err
	close(b.opened)
}

// load opens the file and reads its headers.
func (b *Binary) load(pid uint32, mapping lifecycle.Mapping) {
	reader, size, closer, err := openMapped(pid, mapping)
	if err != nil {
		b.fail(fmt.Errorf("opening %s as mapped by process %d: %w", b.Path, pid, err))
		return
	}
	file, err := binary.Open(reader, size)
	if err != nil {
		b.fail(errors.Join(fmt.Errorf("reading %s: %w", b.Path, err), closer()))
		return
	}
	if mapping.File.BuildID != "" && !file.HasBuildID(mapping.File.BuildID) {
		b.fail(errors.Join(fmt.Errorf("%s: %w", b.Path, ErrChanged), closer()))
		return
	}
	b.reader, b.size, b.file, b.close = reader, size, file, closer
	b.openCompanions(pid)
	close(b.opened)
}

// Find gives the bytes of a known file by the path and build ID that its File
// reports.
func (b *Binaries) Find(path, buildID string) (io.ReaderAt, int64, error) {
	found, err := b.find(path, buildID)
	if err != nil {
		return nil, 0, err
	}
	return shared(found.reader, found.size), found.size, nil
}

// shared returns a reader of a file that others read too, so that it cannot be closed
// by who gets it. It can tell which file it is.
func shared(r io.ReaderAt, size int64) io.ReaderAt {
	section := io.NewSectionReader(r, 0, size)
	if file, ok := r.(*os.File); ok {
		return sharedFile{section, file}
	}
	return section
}

type sharedFile struct {
	*io.SectionReader
	file *os.File
}

// Stat describes the file.
func (s sharedFile) Stat() (os.FileInfo, error) { return s.file.Stat() }

func (b *Binaries) find(path, buildID string) (*Binary, error) {
	b.mu.Lock()
	var candidates []*Binary
	for _, known := range b.known {
		if known.Path == path {
			candidates = append(candidates, known)
		}
	}
	b.mu.Unlock()
	failures := []error{fmt.Errorf("%s with build ID %q was not mapped", path, buildID)}
	for _, candidate := range candidates {
		file, err := candidate.File()
		if err == nil && file.HasBuildID(buildID) {
			return candidate, nil
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	return nil, errors.Join(failures...)
}
