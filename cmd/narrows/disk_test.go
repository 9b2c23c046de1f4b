package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// leave fills a file system until so many bytes are free.
func leave(t *testing.T, disk string, free uint64) {
	t.Helper()
	var stat unix.Statfs_t
	if err := unix.Statfs(disk, &stat); err != nil {
		t.Fatal(err)
	}
	fill := make([]byte, stat.Bavail*uint64(stat.Bsize)-free)
	if err := os.WriteFile(filepath.Join(disk, "fill"), fill, 0o600); err != nil {
		t.Fatal(err)
	}
}

// failsForSpace runs a command line that the disk is too small for.
func failsForSpace(t *testing.T, args ...string) result {
	t.Helper()
	r := finish(t, narrows(t, args...))
	if r.status != 1 || !strings.Contains(r.stderr, "no space left on device") || !strings.Contains(r.stderr, "free some space") {
		t.Errorf("%s: exit status %d\n%s%s", strings.Join(args, " "), r.status, r.stdout, r.stderr)
	}
	if lines := strings.Split(strings.TrimSpace(r.stderr), "\n"); len(lines) > 5 {
		t.Errorf("%s: a full disk takes %d lines to say\n%s", strings.Join(args, " "), len(lines), r.stderr)
	}
	return r
}

// Whatever fits is whole, whatever does not is not there, and the session never
// claims to be complete: checked at each point where the disk can become full.
func TestFullDiskWhileRecording(t *testing.T) {
	requireRecording(t)
	busy(t)
	opened := 0
	for _, free := range []uint64{0, 8 << 10, 24 << 10} {
		t.Run(fmt.Sprintf("%d KiB", free>>10), func(t *testing.T) {
			disk := mountDisk(t, "64k")
			leave(t, disk, free)
			dir := filepath.Join(disk, "s")
			failsForSpace(t, "record", "-d", "1h", "-F", "4999", "--window", "100ms", "-o", dir)
			if !exists(dir) {
				return // not even its first file fits
			}
			opened++
			s := checkSession(t, dir)
			if s.Status != session.Failed && s.Status != session.Recording || s.UnderWay() {
				t.Errorf("the session says %q", s.Status)
			}
		})
	}
	if opened == 0 {
		t.Error("the disk was always full before the recording began")
	}
}

func TestFullDiskAfterRecording(t *testing.T) {
	requireRecording(t)
	busy(t)
	for _, name := range []string{"x.svg", "x.pb.gz"} {
		disk := mountDisk(t, "64k")
		leave(t, disk, 4<<10)
		r := failsForSpace(t, "record", "-d", "300ms", "-F", "999", "-o", filepath.Join(disk, name))
		if left := entries(t, disk); len(left) != 1 {
			t.Errorf("%s: left behind %v", name, left)
		}
		if strings.Contains(r.stdout, "written to") {
			t.Errorf("%s is said to be written:\n%s", name, r.stdout)
		}
	}
}

func TestFullDiskWhileBenchmarking(t *testing.T) {
	commands := [][]string{{"bench"}}
	if recordable() == nil {
		commands = append(commands, []string{"run", "--no-calibrate", "-F", "999", "--window", "200ms"})
	}
	for _, command := range commands {
		t.Run(command[0], func(t *testing.T) {
			disk := mountDisk(t, "64k")
			leave(t, disk, 8<<10)
			dir := filepath.Join(disk, "s")
			failsForSpace(t, append(command, "--benchmark", "FirstTokenLatency", "--iterations", "3", "--concurrent_requests", "1", "-o", dir)...)
			if s := checkSession(t, dir); s.Status == session.Complete {
				t.Errorf("the session says %q", s.Status)
			}
		})
	}
}
