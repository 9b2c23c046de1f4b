package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/pprof/profile"
)

// Writer fills a session folder. Its methods may be called from several
// goroutines.
type Writer struct {
	folder *folder
	path   string
	lock   *os.File

	mu       sync.Mutex
	session  Session
	windows  map[string][]int // by profile name: the windows written
	finished bool
}

// Window is one slice of the recording's time; the first has index 0.
type Window struct {
	Index      int
	Start, End time.Time
}

// profileName is what a profile's file is called, such as "lock-wait.pb.gz".
var profileName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,60}\.pb\.gz$`)

// maxWindows bounds a window's index: a year of ten-second windows.
const maxWindows = 365 * 24 * 360

// Create makes the folder dir, which must not exist yet, and writes session.json
// with the status "recording". An empty dir stands for "narrows-" and the start
// time in UTC, in the working folder. The caller must end with
// [Writer.Finish].
//
// The folder belongs to the user who called sudo from the start. A process that
// drops capabilities needs CAP_CHOWN and CAP_DAC_OVERRIDE to go on writing it.
func Create(dir string, info Info) (*Writer, error) {
	dir, err := makeFolder(dir, info.Start)
	if err != nil {
		return nil, err
	}
	w := &Writer{path: dir, windows: make(map[string][]int)}
	if err := w.begin(info); err != nil {
		if w.folder != nil {
			w.folder.root.Close()
		}
		if w.lock != nil {
			w.lock.Close()
		}
		os.Remove(dir) // only if nothing was put there
		return nil, fmt.Errorf("creating the session folder %s: %w", dir, err)
	}
	return w, nil
}

// makeFolder creates the session's folder and returns its path.
func makeFolder(dir string, start time.Time) (string, error) {
	if dir != "" {
		return dir, makeNew(dir)
	}
	base := "narrows-" + start.UTC().Format("20060102T150405Z")
	err := makeNew(base)
	for n := 2; errors.Is(err, fs.ErrExist) && n < 100; n++ {
		dir = fmt.Sprintf("%s-%d", base, n)
		if err = makeNew(dir); err == nil {
			return dir, nil
		}
	}
	return base, err
}

// makeNew creates a folder that was not there before.
func makeNew(dir string) error {
	err := os.Mkdir(dir, folderMode)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("the session folder %s cannot be created because that path exists, and a session never overwrites anything; name a new folder with -o: %w", dir, fs.ErrExist)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the session folder %s cannot be created because its parent folder does not exist; create that first: %w", dir, err)
	}
	return fmt.Errorf("creating the session folder: %w", advise(err))
}

// begin opens and locks the new folder and writes the first session.json.
func (w *Writer) begin(info Info) error {
	root, err := os.OpenRoot(w.path)
	if err != nil {
		return err
	}
	w.folder = &folder{root: root, owner: invoker()}
	if w.lock, err = root.Open("."); err != nil {
		return err
	}
	// Readers only ask for the lock without waiting, so no error here means more
	// than that the file system has no locks: readers then see a dead writer.
	if err := syscall.Flock(int(w.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		w.session.Warnings = append(w.session.Warnings, fmt.Sprintf("the folder could not be locked, so readers take the recording for ended: %v", err))
	}
	w.folder.give(w.lock)
	w.session.SchemaVersion = SchemaVersion
	w.session.Outcome = Outcome{Status: Recording}
	w.session.Info = info
	return w.writeDocument()
}

// Started sets when the recording began, where that was later than the session was
// created.
func (w *Writer) Started(start time.Time, monotonicNS int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return errors.New("starting the recording: the session is finished")
	}
	w.session.Start, w.session.StartMonotonicNS = start, monotonicNS
	return w.writeDocument()
}

// Path returns the session's folder as it was created.
func (w *Writer) Path() string { return w.path }

// Create starts the file name, a slash-separated path inside the session's
// folder such as "metrics/FirstTokenLatencyBenchmark.json"; missing folders are
// made. The file appears when it is closed without error, see [File].
// session.json and the windows are not written this way.
func (w *Writer) Create(name string) (*File, error) {
	if name == documentName || name == windowsFolder || strings.HasPrefix(name, windowsFolder+"/") {
		return nil, fmt.Errorf("creating %s: the session writes this file itself", name)
	}
	if w.isFinished() {
		return nil, fmt.Errorf("creating %s: the session is finished", name)
	}
	return w.folder.create(name)
}

// WriteWindow writes one window's profile; name is the session's file of that
// signal, such as "cpu.pb.gz". The profile's time and duration are set to the
// window's. Writing a window twice is an error.
func (w *Writer) WriteWindow(ctx context.Context, window Window, name string, p *profile.Profile) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !profileName.MatchString(name) {
		return fmt.Errorf("writing a window: %q is not a profile's name such as \"cpu.pb.gz\"", name)
	}
	if window.Index < 0 || window.Index >= maxWindows || window.End.Before(window.Start) {
		return fmt.Errorf("writing a window of %s: index %d from %v to %v is no window", name, window.Index, window.Start, window.End)
	}
	if err := p.CheckValid(); err != nil {
		return fmt.Errorf("checking the profile of window %d of %s: %w", window.Index, name, err)
	}
	if err := w.claim(name, window.Index); err != nil {
		return err
	}
	p.TimeNanos = window.Start.UnixNano()
	p.DurationNanos = window.End.Sub(window.Start).Nanoseconds()
	if err := w.folder.writeProfile(windowFile(window.Index, name), p); err != nil {
		w.release(name, window.Index)
		return err
	}
	return nil
}

// windowFile is where a window's profile lies.
func windowFile(index int, name string) string {
	return fmt.Sprintf("%s/%04d/%s", windowsFolder, index, name)
}

// writeProfile writes a pprof file.
func (f *folder) writeProfile(name string, p *profile.Profile) error {
	file, err := f.create(name)
	if err != nil {
		return err
	}
	if err := p.Write(file); err != nil {
		file.Discard()
		return err
	}
	return file.Close()
}

// writeDocument writes session.json; the caller holds the lock or is alone.
func (w *Writer) writeDocument() error {
	w.session.normalise()
	data, err := json.MarshalIndent(&w.session, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", documentName, err)
	}
	return w.folder.write(documentName, append(data, '\n'))
}
