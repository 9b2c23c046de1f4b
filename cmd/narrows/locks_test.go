package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/analysis/waits"
)

// The whole machine for a second: what is printed is what the session's files say, and a
// look at the session afterwards prints the same.
func TestLocksOfTheMachine(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "locks", "-d", "1s", "-o", "s")
	r := succeed(t, cmd)
	checkPlainLines(t, r.stderr, "recording the whole machine for 1s")
	dir := filepath.Join(cmd.Dir, "s")
	checkSession(t, dir)
	for _, part := range []string{"Where threads waited", "\n  idle ", "written to  s\n", "next        "} {
		if !strings.Contains(r.stdout, part) {
			t.Errorf("the output lacks %q:\n%s", part, r.stdout)
		}
	}
	again := narrows(t, "locks", "s")
	again.Dir = cmd.Dir
	if out := succeed(t, again).stdout; out != r.stdout {
		t.Errorf("a second look says\n%s\nthe first said\n%s", out, r.stdout)
	}
	asJSON := narrows(t, "locks", "--json", "s")
	asJSON.Dir = cmd.Dir
	var d waits.Document
	if err := json.Unmarshal([]byte(succeed(t, asJSON).stdout), &d); err != nil {
		t.Fatal(err)
	}
	checkStates(t, &d, readProfile(t, filepath.Join(dir, session.OffCPU)))
}

// checkStates compares the document's times by state with those of the profile.
func checkStates(t *testing.T, d *waits.Document, p *profile.Profile) {
	t.Helper()
	if len(d.States) < 2 {
		t.Errorf("the states are %+v", d.States)
	}
	for _, s := range d.States {
		if want := weight(p, func(o *profile.Sample) bool { return o.HasLabel("state", s.State) }); s.NS != want {
			t.Errorf("%d ns of %s, and %d by the profile", s.NS, s.State, want)
		}
	}
}
