package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/google/pprof/profile"
)

// Profile reads one of the session's profiles, such as "cpu.pb.gz". If the
// recording did not get to add its windows up, that is done here.
func (s *Session) Profile(name string) (*profile.Profile, error) {
	if !profileName.MatchString(name) {
		return nil, fmt.Errorf("reading a profile: %q is not a profile's name such as \"cpu.pb.gz\"", name)
	}
	f, err := openFolder(s.dir)
	if err != nil {
		return nil, err
	}
	defer f.root.Close()
	p, err := f.readProfile(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	windows, err := f.windowsOf(name)
	if err != nil {
		return nil, err
	}
	p, err = f.mergeInMemory(context.Background(), name, windows)
	if err == nil && p == nil {
		err = fmt.Errorf("the session %s has no %s: %w", s.dir, name, fs.ErrNotExist)
	}
	return p, err
}

// Windows reads one profile's windows in the order of their time, one at a
// time. It ends after the first error.
func (s *Session) Windows(name string) iter.Seq2[WindowProfile, error] {
	return func(yield func(WindowProfile, error) bool) {
		if !profileName.MatchString(name) {
			yield(WindowProfile{}, fmt.Errorf("reading windows: %q is not a profile's name such as \"cpu.pb.gz\"", name))
			return
		}
		f, err := openFolder(s.dir)
		if err != nil {
			yield(WindowProfile{}, err)
			return
		}
		defer f.root.Close()
		windows, err := f.windowsOf(name)
		if err != nil {
			yield(WindowProfile{}, err)
			return
		}
		for _, index := range windows {
			p, err := f.readProfile(windowFile(index, name))
			if err != nil {
				yield(WindowProfile{}, err)
				return
			}
			start := time.Unix(0, p.TimeNanos).UTC()
			window := Window{Index: index, Start: start, End: start.Add(time.Duration(p.DurationNanos))}
			if !yield(WindowProfile{Window: window, Profile: p}, nil) {
				return
			}
		}
	}
}

// Parts reads one of the session's profiles in parts that fit into memory, whatever
// was recorded: its windows, or the whole file where somebody removed the windows.
// It may be iterated more than once, and ends after the first error.
func (s *Session) Parts(name string) iter.Seq2[*profile.Profile, error] {
	return func(yield func(*profile.Profile, error) bool) {
		none := true
		for w, err := range s.Windows(name) {
			none = false
			if !yield(w.Profile, err) {
				return
			}
		}
		if none {
			yield(s.Profile(name))
		}
	}
}

// WindowProfile is one signal's profile of one window.
type WindowProfile struct {
	Window
	Profile *profile.Profile
}

// windowsOf returns the indexes of the windows that hold the profile name.
func (f *folder) windowsOf(name string) ([]int, error) {
	var windows []int
	err := f.eachWindow(func(index int, names []string) {
		if slices.Contains(names, name) {
			windows = append(windows, index)
		}
	})
	slices.Sort(windows)
	return windows, err
}

// profileNames returns the names of all profiles that have a window.
func (f *folder) profileNames() ([]string, error) {
	var all []string
	err := f.eachWindow(func(_ int, names []string) { all = append(all, names...) })
	slices.Sort(all)
	return slices.Compact(all), err
}

// eachWindow calls visit with the profiles of each window's folder.
func (f *folder) eachWindow(visit func(index int, names []string)) error {
	entries, err := fs.ReadDir(f.root.FS(), windowsFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing the windows: %w", err)
	}
	for _, entry := range entries {
		index, err := strconv.Atoi(entry.Name())
		if err != nil || index < 0 || index >= maxWindows || entry.Name() != fmt.Sprintf("%04d", index) {
			continue
		}
		files, err := fs.ReadDir(f.root.FS(), windowsFolder+"/"+entry.Name())
		if err != nil {
			return fmt.Errorf("listing window %d: %w", index, err)
		}
		var names []string
		for _, file := range files {
			if profileName.MatchString(file.Name()) {
				names = append(names, file.Name())
			}
		}
		visit(index, names)
	}
	return nil
}

// readProfile reads and checks a pprof file.
func (f *folder) readProfile(name string) (*profile.Profile, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the profile %s: %w", name, err)
	}
	defer file.Close()
	p, err := parseProfile(file, maxProfileBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the profile %s: %w", name, err)
	}
	return p, nil
}

// parseProfile parses a gzip-compressed profile of at most limit bytes.
func parseProfile(r io.Reader, limit int64) (*profile.Profile, error) {
	var data bytes.Buffer
	if err := unpack(&data, r, limit); err != nil {
		return nil, err
	}
	p, err := profile.ParseUncompressed(data.Bytes())
	if err != nil {
		return nil, err
	}
	return p, p.CheckValid()
}
