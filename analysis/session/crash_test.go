package session_test

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// dyingWriter is the environment variable that turns this test binary into a
// writer that waits to be killed; its value is the folder.
const dyingWriter = "NARROWS_TEST_DYING_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dyingWriter); dir != "" {
		os.Exit(writeAndWait(dir))
	}
	os.Exit(m.Run())
}

// wholeMetrics is a document without a measured field.
const wholeMetrics = `{"schema_version":1,"service":"other","benchmark":"Whole","timestamp":"2026-03-04T05:06:07Z","iterations":7,"n":7,
"status":"complete","target_kind":"reference","provenance":{},"load":{"model":"open-loop"},"metrics":{},"unavailable":{},"ci":{},"targets":[],"errors":{}}`

// writeAndWait leaves two whole windows, one whole file and one file between
// its temporary name and its rename, says so, and waits for the end.
func writeAndWait(dir string) int {
	w, err := session.Create(dir, testInfo())
	if err != nil {
		return 1
	}
	for i := range 2 {
		if err := w.WriteWindow(context.Background(), window(i), session.CPU, cpuProfile(nil, map[string]int64{"f": 5})); err != nil {
			return 1
		}
	}
	whole, err := w.Create("metrics/Whole.json")
	if err != nil {
		return 1
	}
	if _, err := whole.Write([]byte(wholeMetrics)); err != nil || whole.Close() != nil {
		return 1
	}
	half, err := w.Create("metrics/Half.json")
	if err != nil {
		return 1
	}
	if _, err := half.Write([]byte(`{"benchmark":"Ha`)); err != nil {
		return 1
	}
	os.Stdout.WriteString("ready\n")
	for {
		time.Sleep(time.Hour)
	}
}

func TestKilledWriterLeavesOnlyWholeFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), dyingWriter+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		cmd.Process.Kill()
		t.Fatalf("the writer said %q: %v", line, err)
	}

	alive, err := session.Open(dir)
	if err != nil {
		t.Error(err)
	} else if !alive.UnderWay() || len(alive.Warnings) != 1 || !strings.Contains(alive.Warnings[0], "under way") {
		t.Errorf("while its writer lives: under way %v, warnings %q", alive.UnderWay(), alive.Warnings)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()

	s, err := session.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != session.Recording || s.UnderWay() || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "cut off") {
		t.Errorf("after its writer died: status %q, under way %v, warnings %q", s.Status, s.UnderWay(), s.Warnings)
	}
	p, err := s.Profile(session.CPU)
	if err != nil {
		t.Fatal(err)
	}
	if p.Sample[0].Value[0] != 10 || len(s.Profiles) != 1 || s.Profiles[0].Windows != 2 {
		t.Errorf("kept %d samples in %+v, want 10 in 2 windows", p.Sample[0].Value[0], s.Profiles)
	}
	if want := window(1).End; !s.End.Equal(want) {
		t.Errorf("the recording ended at %v, want the last window's end %v", s.End, want)
	}
	documents, err := s.Metrics()
	if err != nil || len(documents) != 1 || documents[0].N != 7 {
		t.Errorf("metrics are %+v, %v; want the whole file only", documents, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "metrics", "Half.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a half-written file has its name: %v", err)
	}
}

// smallDisk mounts a file system of the given size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

func TestFullDiskLeavesNoHalfFile(t *testing.T) {
	dir := filepath.Join(smallDisk(t, "64k"), "s")
	w, err := session.Create(dir, testInfo())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteWindow(t.Context(), window(0), session.CPU, cpuProfile(nil, map[string]int64{"f": 5})); err != nil {
		t.Fatal(err)
	}
	// Incompressible names, so that the profile is larger than the disk.
	counts := map[string]int64{}
	for i := range 20_000 {
		counts[randomName(uint64(i))] = 1
	}
	err = w.WriteWindow(t.Context(), window(1), session.CPU, cpuProfile(nil, counts))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("writing more than fits: %v, want ENOSPC and what to do", err)
	}
	file, err := w.Create("requests/A.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	_, writeErr := file.Write(make([]byte, 128<<10))
	if closeErr := file.Close(); !errors.Is(writeErr, syscall.ENOSPC) || !errors.Is(closeErr, syscall.ENOSPC) {
		t.Errorf("a file that does not fit: write %v, close %v", writeErr, closeErr)
	}

	if err := w.Finish(t.Context(), session.Outcome{Status: session.Failed, Reason: "disk full"}, session.Summary{}); err != nil {
		t.Fatal(err)
	}
	s, err := session.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != session.Failed || len(s.Profiles) != 1 || s.Profiles[0].Windows != 1 {
		t.Errorf("status %q, profiles %+v; want the first window only", s.Status, s.Profiles)
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".partial") || d.Name() == "A.ndjson" {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
}

func TestFullDiskAtTheStart(t *testing.T) {
	parent := smallDisk(t, "4k")
	if err := os.WriteFile(filepath.Join(parent, "fill"), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "s")
	if _, err := session.Create(dir, testInfo()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("creating a session on a full disk: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty session folder was left behind: %v", err)
	}
}

// randomName spells a number as 16 letters that look random (splitmix64).
func randomName(n uint64) string {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	n ^= n >> 31
	name := make([]byte, 16)
	for i := range name {
		name[i] = 'a' + byte(n>>(4*i)&15)
	}
	return string(name)
}
