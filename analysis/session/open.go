package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/narrows-profiler/narrows/analysis/sum"
)

// What a reader accepts. A session is somebody else's files: each bound is far
// above what a recording writes, and keeps a forged file from taking the
// reader's memory.
const (
	maxDocumentBytes = 256 << 20
	maxMetricsFiles  = 10_000
	maxProfileBytes  = 2 << 30 // uncompressed
)

// Open reads the session in the folder dir.
//
// A folder whose session.json still says "recording" opens too. If its writer
// is no longer there, the recording was cut off: Open then lists the profiles
// of the windows that were written and adds a warning that says so. A window
// that is being written meanwhile is not seen.
func Open(dir string) (*Session, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.root.Close()
	data, err := f.read(documentName, maxDocumentBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the session %s: it has no %s, so it is no session folder: %w", dir, documentName, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the session %s: %w", dir, err)
	}
	s, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the session %s: %w", documentName, dir, err)
	}
	s.dir = dir
	if s.Status == Recording {
		if err := s.recover(f); err != nil {
			return nil, fmt.Errorf("opening the session %s: %w", dir, err)
		}
	}
	return s, nil
}

func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the session folder: %w", err)
	}
	return &folder{root: root, owner: invoker()}, nil
}

// decode parses session.json and checks what later code relies on.
func decode(data []byte) (*Session, error) {
	var version struct {
		SchemaVersion int `json:"schema_version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, err
	}
	if version.SchemaVersion < 1 || version.SchemaVersion > SchemaVersion {
		return nil, fmt.Errorf("its schema version is %d, and this narrows reads 1 to %d; a newer narrows may read it", version.SchemaVersion, SchemaVersion)
	}
	s := new(Session)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, err
	}
	switch s.Status {
	case Recording, Complete, Interrupted, Failed:
	default:
		return nil, fmt.Errorf("the status %q is unknown", s.Status)
	}
	for _, p := range s.Profiles {
		if !profileName.MatchString(p.File) {
			return nil, fmt.Errorf("%q is not a profile's file name", p.File)
		}
	}
	for i := range s.Calibration {
		if err := s.Calibration[i].Validate(); err != nil {
			return nil, fmt.Errorf("its calibration: %w", err)
		}
	}
	if s.Host.CPUsOnline < 0 || s.WindowSeconds < 0 {
		return nil, errors.New("a count or a duration is negative")
	}
	s.normalise()
	return s, nil
}

// recover fills in what a recording without its last session.json has.
func (s *Session) recover(f *folder) error {
	alive, err := f.locked()
	if err != nil {
		return err
	}
	if s.recording = alive; alive {
		s.Warnings = append(s.Warnings, "the recording is under way: what is shown is what was written so far")
	} else {
		s.Warnings = append(s.Warnings, "the recording was cut off: its writer ended without finishing; what is shown are the windows it had written")
	}
	names, err := f.profileNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		windows, err := f.windowsOf(name)
		if err != nil {
			return err
		}
		merged, err := sum.Of(f.windowProfiles(context.Background(), name, windows))
		if err != nil {
			return fmt.Errorf("adding up the windows of %s: %w", name, err)
		}
		if merged.Profiles() == 0 { // removed since it was listed
			continue
		}
		s.Profiles = append(s.Profiles, describe(name, merged))
		header := merged.Header()
		if end := time.Unix(0, header.TimeNanos+header.DurationNanos).UTC(); end.After(s.End) {
			s.End = end
		}
	}
	return nil
}

// locked says whether a writer holds the folder's lock.
func (f *folder) locked() (bool, error) {
	d, err := f.root.Open(".")
	if err != nil {
		return false, err
	}
	defer d.Close()
	err = syscall.Flock(int(d.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	return errors.Is(err, syscall.EWOULDBLOCK), nil
}

// Dir returns the folder that the session was opened from.
func (s *Session) Dir() string { return s.dir }

// UnderWay says whether the session's writer was still recording when it was
// opened.
func (s *Session) UnderWay() bool { return s.recording }

// Create starts a file in a session that was recorded before, for reports and
// rankings made later; see [Writer.Create].
func (s *Session) Create(name string) (*File, error) {
	if name == documentName || name == windowsFolder || strings.HasPrefix(name, windowsFolder+"/") || profileName.MatchString(name) {
		return nil, fmt.Errorf("creating %s: a recording's own files are not replaced", name)
	}
	f, err := openFolder(s.dir)
	if err != nil {
		return nil, err
	}
	file, err := f.create(name)
	if err != nil {
		f.root.Close()
		return nil, err
	}
	file.ownsFolder = true
	return file, nil
}
