package session_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func testInfo() session.Info {
	return session.Info{
		NarrowsVersion:   "test",
		CommandLine:      []string{"narrows", "record", "-d", "30s"},
		Configuration:    map[string]any{"frequency": 99.0},
		Host:             session.Host{Hostname: "host", Kernel: "6.18.0", Machine: "x86_64", CPUsOnline: 2, MemoryBytes: 1 << 30, BootID: "b", BTF: true},
		Start:            start,
		StartMonotonicNS: 42,
		WindowSeconds:    10,
	}
}

func window(index int) session.Window {
	from := start.Add(time.Duration(index) * 10 * time.Second)
	return session.Window{Index: index, Start: from, End: from.Add(10 * time.Second)}
}

// cpuProfile has one sample for each entry of counts, all with the labels; the
// functions' names are the keys, and each sample stands for 10 ms.
func cpuProfile(labels map[string]string, counts map[string]int64) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:     10_000_000,
		Mapping:    []*profile.Mapping{{ID: 1, Start: 0x1000, Limit: 0x100000, File: "/bin/service", BuildID: "abc"}},
	}
	id := uint64(0)
	for name, count := range counts {
		id++
		f := &profile.Function{ID: id, Name: name, SystemName: name}
		l := &profile.Location{ID: id, Mapping: p.Mapping[0], Address: 0x1000 + uint64(len(name))*16, Line: []profile.Line{{Function: f, Line: 1}}}
		p.Function = append(p.Function, f)
		p.Location = append(p.Location, l)
		s := &profile.Sample{Location: []*profile.Location{l}, Value: []int64{count, count * 10_000_000}, Label: map[string][]string{}}
		for k, v := range labels {
			s.Label[k] = []string{v}
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

func create(t *testing.T) *session.Writer {
	t.Helper()
	w, err := session.Create(filepath.Join(t.TempDir(), "s"), testInfo())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func finish(t *testing.T, w *session.Writer, summary session.Summary) *session.Session {
	t.Helper()
	if err := w.Finish(t.Context(), session.Outcome{Status: session.Complete}, summary); err != nil {
		t.Fatal(err)
	}
	s, err := session.Open(w.Path())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWindowsAddUpToTheSession(t *testing.T) {
	w := create(t)
	want := map[string]map[string]int64{} // by benchmark, by function: samples
	for i := range 11 {
		benchmark := []string{"A", "B"}[i%2]
		counts := map[string]int64{"matmul": int64(i + 1), "softmax": int64(100 - i)}
		if want[benchmark] == nil {
			want[benchmark] = map[string]int64{}
		}
		for name, n := range counts {
			want[benchmark][name] += n
		}
		p := cpuProfile(map[string]string{"benchmark": benchmark}, counts)
		if err := w.WriteWindow(t.Context(), window(i), session.CPU, p); err != nil {
			t.Fatal(err)
		}
	}
	s := finish(t, w, session.Summary{End: start.Add(110 * time.Second)})
	p, err := s.Profile(session.CPU)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]int64{}
	for _, sample := range p.Sample {
		benchmark := sample.Label["benchmark"][0]
		if got[benchmark] == nil {
			got[benchmark] = map[string]int64{}
		}
		got[benchmark][sample.Location[0].Line[0].Function.Name] += sample.Value[0]
		if sample.Value[1] != sample.Value[0]*10_000_000 {
			t.Errorf("a sample has %d ns for %d ticks", sample.Value[1], sample.Value[0])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("samples by benchmark and function (-want +got):\n%s", diff)
	}
	if p.TimeNanos != start.UnixNano() || p.DurationNanos != 110e9 {
		t.Errorf("the profile is of %d ns from %d, want 110e9 from %d", p.DurationNanos, p.TimeNanos, start.UnixNano())
	}
	wantProfiles := []session.Profile{{File: session.CPU, Windows: 11, Entries: 4, SampleTypes: []session.SampleType{
		{Type: "samples", Unit: "count", Total: 11 * 101}, {Type: "cpu", Unit: "nanoseconds", Total: 11 * 101 * 10_000_000}}}}
	if diff := cmp.Diff(wantProfiles, s.Profiles); diff != "" {
		t.Errorf("profiles in session.json (-want +got):\n%s", diff)
	}
	index := 0
	for wp, err := range s.Windows(session.CPU) {
		if err != nil {
			t.Fatal(err)
		}
		if wp.Window != window(index) {
			t.Errorf("window %d is %+v, want %+v", index, wp.Window, window(index))
		}
		index++
	}
	if index != 11 {
		t.Errorf("read %d windows back, want 11", index)
	}
}

func TestExistingPathIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, file} {
		_, err := session.Create(path, testInfo())
		if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "-o") {
			t.Errorf("creating a session at an existing path: %v, want an error that names -o", err)
		}
	}
	if _, err := session.Create(filepath.Join(dir, "no", "parent"), testInfo()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("creating a session below a missing folder: %v", err)
	}
	if data, _ := os.ReadFile(file); string(data) != "mine" {
		t.Errorf("the file now holds %q", data)
	}
}

func TestDefaultNameIsTheStartInUTC(t *testing.T) {
	t.Chdir(t.TempDir())
	info := testInfo()
	info.Start = start.In(time.FixedZone("east", 3*3600))
	for _, want := range []string{"narrows-20260304T050607Z", "narrows-20260304T050607Z-2"} {
		w, err := session.Create("", info)
		if err != nil {
			t.Fatal(err)
		}
		if w.Path() != want {
			t.Errorf("the folder is %s, want %s", w.Path(), want)
		}
		finish(t, w, session.Summary{})
	}
}

func TestModesAndOwner(t *testing.T) {
	wantUID, wantGID := os.Geteuid(), os.Getegid()
	if wantUID == 0 {
		wantUID, wantGID = 12345, 23456
		t.Setenv("SUDO_UID", "12345")
		t.Setenv("SUDO_GID", "23456")
	}
	w := create(t)
	if err := w.WriteWindow(t.Context(), window(0), session.CPU, cpuProfile(nil, map[string]int64{"f": 1})); err != nil {
		t.Fatal(err)
	}
	writeFile(t, w, "flame/ryot.svg", "<svg/>")
	finish(t, w, session.Summary{})
	files := 0
	err := filepath.WalkDir(w.Path(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		files++
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700 | fs.ModeDir
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		stat := info.Sys().(*syscall.Stat_t)
		if int(stat.Uid) != wantUID || int(stat.Gid) != wantGID {
			t.Errorf("%s belongs to %d:%d, want %d:%d", path, stat.Uid, stat.Gid, wantUID, wantGID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files != 8 { // the folder, windows, 0000, flame and four files
		t.Errorf("found %d entries, want 8", files)
	}
}

func writeFile(t *testing.T, w *session.Writer, name, content string) {
	t.Helper()
	f, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNamesStayInsideTheFolder(t *testing.T) {
	w := create(t)
	for _, name := range []string{
		"", ".", "..", "../x", "a/../../x", "/etc/x", "a//b", "a/", "./a", ".hidden", "a/.b", "x.partial", "a\nb", `a\b`,
		"session.json", "windows", "windows/0000/cpu.pb.gz", strings.Repeat("n", 201),
	} {
		if f, err := w.Create(name); err == nil {
			f.Discard()
			t.Errorf("Create(%q) was accepted", name)
		}
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(w.Path(), "flame")); err != nil {
		t.Fatal(err)
	}
	if f, err := w.Create("flame/x.svg"); err == nil {
		f.Close()
		t.Error("a symbolic link led outside the folder")
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("files were written outside: %v", entries)
	}
}

func TestBadWindowsAreRefused(t *testing.T) {
	w := create(t)
	good := cpuProfile(nil, map[string]int64{"f": 1})
	broken := cpuProfile(nil, map[string]int64{"f": 1})
	broken.Sample[0].Value = broken.Sample[0].Value[:1]
	backwards := session.Window{Index: 1, Start: start, End: start.Add(-1)}
	if err := w.WriteWindow(t.Context(), window(0), session.CPU, good); err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"twice":          w.WriteWindow(t.Context(), window(0), session.CPU, good),
		"negative":       w.WriteWindow(t.Context(), window(-1), session.CPU, good),
		"backwards":      w.WriteWindow(t.Context(), backwards, session.CPU, good),
		"name":           w.WriteWindow(t.Context(), window(1), "../cpu.pb.gz", good),
		"broken profile": w.WriteWindow(t.Context(), window(1), session.CPU, broken),
		"canceled":       w.WriteWindow(canceled, window(1), session.CPU, good),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	finish(t, w, session.Summary{})
	if w.WriteWindow(t.Context(), window(2), session.CPU, good) == nil {
		t.Error("a window was written after the end")
	}
	if err := w.Finish(t.Context(), session.Outcome{Status: session.Complete}, session.Summary{}); err == nil {
		t.Error("finished twice")
	}
}

func TestInterruptedSessionKeepsItsWindows(t *testing.T) {
	w := create(t)
	if err := w.WriteWindow(t.Context(), window(0), session.CPU, cpuProfile(nil, map[string]int64{"f": 3})); err != nil {
		t.Fatal(err)
	}
	outcome := session.Outcome{Status: session.Interrupted, Reason: "Ctrl-C after 10 s"}
	if err := w.Finish(t.Context(), outcome, session.Summary{}); err != nil {
		t.Fatal(err)
	}
	s, err := session.Open(w.Path())
	if err != nil {
		t.Fatal(err)
	}
	if s.Outcome != outcome || len(s.Profiles) != 1 || s.Profiles[0].SampleTypes[0].Total != 3 {
		t.Errorf("outcome %+v, profiles %+v", s.Outcome, s.Profiles)
	}
}

func TestWindowsThatDoNotFitTogetherFailTheSession(t *testing.T) {
	w := create(t)
	other := cpuProfile(nil, map[string]int64{"f": 1})
	other.SampleType[1].Unit = "seconds"
	for i, p := range []*profile.Profile{cpuProfile(nil, map[string]int64{"f": 1}), other} {
		if err := w.WriteWindow(t.Context(), window(i), session.CPU, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(t.Context(), session.Outcome{Status: session.Complete}, session.Summary{}); err == nil {
		t.Fatal("profiles of different units were added up")
	}
	s, err := session.Open(w.Path())
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != session.Failed || !strings.Contains(s.Reason, "cpu.pb.gz") {
		t.Errorf("status %q, reason %q", s.Status, s.Reason)
	}
}
