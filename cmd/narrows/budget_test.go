package main

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// busyPrograms have much to name: large symbol tables, debug information, compressed
// debug information, inlined code.
var busyPrograms = [][]string{
	{"sh", "-c", "while :; do go list -deps std >/dev/null 2>&1; done"},
	{"sh", "-c", "while :; do echo '#include <map>\nstd::map<int,int> m;' | g++ -g -O2 -x c++ -c -o /dev/null -; done"},
	{"node", "-e", "for (;;) JSON.parse(JSON.stringify([...Array(1000).keys()]))"},
	{"python3", "-c", "import json\nwhile True: json.loads(json.dumps({str(i): i for i in range(1000)}))"},
}

// maxFirstRecording is what a first recording may take. Names and CPU samples alone stay
// below 100 MB, which the whole is to take; windows with waits add to that with each
// switch of what runs beside the tests.
const maxFirstRecording = 180e6

// TestFirstRecordingStaysSmall records programs of which nothing is known yet.
func TestFirstRecordingStaysSmall(t *testing.T) {
	requireRecording(t)
	for _, words := range busyPrograms {
		if _, err := exec.LookPath(words[0]); err != nil {
			continue
		}
		cmd := exec.Command(words[0], words[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			cmd.Wait() // says that it was killed
		})
	}
	cmd := narrows(t, "record", "-d", "4s", "--symbol-cache", filepath.Join(t.TempDir(), "cache"), "-o", "s")
	succeed(t, cmd)
	sess, err := session.Open(filepath.Join(cmd.Dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	peak := sess.OwnCost.PeakMemoryBytes
	t.Logf("%.1f MB at the peak", float64(peak)/1e6)
	if peak > maxFirstRecording {
		t.Errorf("a recording with an empty cache took %.1f MB, want at most %.0f MB", float64(peak)/1e6, maxFirstRecording/1e6)
	}
}
