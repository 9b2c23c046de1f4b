package session_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/analysis/session"
)

func TestFilesOfAFinishedSession(t *testing.T) {
	w := create(t)
	if err := w.WriteWindow(t.Context(), window(0), session.CPU, cpuProfile(nil, map[string]int64{"f": 1})); err != nil {
		t.Fatal(err)
	}
	s := finish(t, w, session.Summary{})
	write := func(name, content string) error {
		f, err := s.Create(name)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(f, content); err != nil {
			return err
		}
		return f.Close()
	}
	for _, content := range []string{"first", "second, longer"} { // a report may be made anew
		if err := write("report.md", content); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"session.json", "cpu.pb.gz", "windows/0000/cpu.pb.gz", "../x"} {
		if write(name, "x") == nil {
			t.Errorf("%s was overwritten", name)
		}
	}
	if err := os.WriteFile(filepath.Join(s.Dir(), ".x.partial"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := s.ReadFile("report.md")
	if err != nil || string(data) != "second, longer" {
		t.Errorf("report.md holds %q, %v", data, err)
	}
	if _, err := s.ReadFile("missing.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	l, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range l.Files {
		names = append(names, f.Name)
		if info, err := os.Stat(filepath.Join(s.Dir(), f.Name)); err != nil || info.Size() != f.Bytes {
			t.Errorf("%s: listed with %d bytes: %v", f.Name, f.Bytes, err)
		}
	}
	if diff := cmp.Diff([]string{"cpu.pb.gz", "report.md", "session.json"}, names); diff != "" || l.WindowFiles != 1 || l.WindowBytes == 0 {
		t.Errorf("listed %d window files and (-want +got):\n%s", l.WindowFiles, diff)
	}
}

func TestMissingProfilesAreNamed(t *testing.T) {
	s := finish(t, create(t), session.Summary{})
	if _, err := s.Profile(session.CPU); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a profile that was not recorded: %v", err)
	}
	if _, err := s.Profile("../cpu.pb.gz"); err == nil {
		t.Error("a path was taken for a profile")
	}
	for range s.Windows(session.CPU) {
		t.Error("a session without windows yields one")
	}
	if documents, err := s.Metrics(); err != nil || len(documents) != 0 {
		t.Errorf("metrics %v, %v", documents, err)
	}
}
