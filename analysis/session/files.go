package session

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxOtherBytes bounds a file read by [Session.ReadFile].
const maxOtherBytes = 64 << 20

// maxFiles bounds how many files [Session.Files] lists; a year of windows with
// all signals is fewer.
const maxFiles = 30_000_000

// FileInfo is one file of the session.
type FileInfo struct {
	Name  string // slash-separated, relative to the session's folder
	Bytes int64
}

// Listing is what a session's folder holds.
type Listing struct {
	Files []FileInfo // in the order of their names, without the windows
	// WindowFiles and WindowBytes sum the files below windows/ up.
	WindowFiles int
	WindowBytes int64
}

// Files lists the session's files, unfinished ones left out.
func (s *Session) Files() (Listing, error) {
	f, err := openFolder(s.dir)
	if err != nil {
		return Listing{}, err
	}
	defer f.root.Close()
	var l Listing
	err = fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != "." && strings.HasPrefix(path.Base(name), ".") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, windowsFolder+"/") {
			l.WindowFiles++
			l.WindowBytes += info.Size()
		} else {
			l.Files = append(l.Files, FileInfo{Name: name, Bytes: info.Size()})
		}
		if l.WindowFiles+len(l.Files) > maxFiles {
			return fmt.Errorf("it holds more than %d files", maxFiles)
		}
		return nil
	})
	if err != nil {
		return Listing{}, fmt.Errorf("listing the session's files: %w", err)
	}
	return l, nil
}

// ReadFile reads one of the session's other files, such as
// "bottleneck_report.json"; a missing one is fs.ErrNotExist, one of more than
// 64 MiB an error.
func (s *Session) ReadFile(name string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, err := openFolder(s.dir)
	if err != nil {
		return nil, err
	}
	defer f.root.Close()
	data, err := f.read(name, maxOtherBytes)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}
