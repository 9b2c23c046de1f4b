package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// shell returns a binary that runs a shell script.
func shell(name, script string, limit time.Duration) Binary {
	return Binary{Package: name, Path: "/bin/sh", Dir: "/", Args: []string{"-c", script}, Limit: limit}
}

// runPlan returns the events of a plan without the Alive ones, the output of each package joined in the last event's Output.
func runPlan(t *testing.T, plan Plan) []Event {
	t.Helper()
	defer goleak.VerifyNone(t)
	var stream bytes.Buffer
	if err := Run(t.Context(), plan, "6.1.0-test", &stream); err != nil {
		t.Fatal(err)
	}
	var events []Event
	var text []byte
	for decoder := json.NewDecoder(&stream); ; {
		var event Event
		if err := decoder.Decode(&event); errors.Is(err, io.EOF) {
			return events
		} else if err != nil {
			t.Fatal(err)
		}
		switch event.Kind {
		case Alive:
			continue
		case Output:
			text = append(text, event.Output...)
			continue
		case End:
			event.Output, text = text, nil
		}
		events = append(events, event)
	}
}

func TestEventsTellWhatHappened(t *testing.T) {
	dir := t.TempDir()
	inDir := shell("p/dir", `pwd; echo "$COLOUR" >&2; exit 3`, time.Minute)
	inDir.Dir = dir
	events := runPlan(t, Plan{
		Env: []string{"COLOUR=blue"},
		Binaries: []Binary{
			inDir,
			shell("p/bytes", `printf '\377\000{"kind":"done"}\n'`, time.Minute),
			shell("p/signal", `kill -SEGV $$`, time.Minute),
			{Package: "p/absent", Path: filepath.Join(dir, "absent"), Dir: "/", Limit: time.Minute},
		},
	})
	var order []string
	ends := map[string]Event{}
	for _, event := range events {
		order = append(order, strings.TrimSpace(string(event.Kind)+" "+event.Package))
		if event.Kind == End {
			ends[event.Package] = event
		}
	}
	want := []string{"up", "begin p/dir", "end p/dir", "begin p/bytes", "end p/bytes", "begin p/signal", "end p/signal", "begin p/absent", "end p/absent", "done"}
	if !slices.Equal(order, want) {
		t.Errorf("events came as %q, want %q", order, want)
	}
	if events[0].Release != "6.1.0-test" {
		t.Errorf("the release is %q", events[0].Release)
	}
	if end := ends["p/dir"]; end.ExitCode != 3 || end.Reason != "" || string(end.Output) != dir+"\nblue\n" {
		t.Errorf("p/dir ended with %d, %q and printed %q", end.ExitCode, end.Reason, end.Output)
	}
	if end := ends["p/bytes"]; end.ExitCode != 0 || string(end.Output) != "\xff\x00{\"kind\":\"done\"}\n" {
		t.Errorf("p/bytes ended with %d and printed %q", end.ExitCode, end.Output)
	}
	if end := ends["p/signal"]; end.ExitCode != -1 || !strings.Contains(end.Reason, "segmentation fault") {
		t.Errorf("p/signal ended with %d, %q", end.ExitCode, end.Reason)
	}
	if end := ends["p/absent"]; end.ExitCode != -1 || !strings.Contains(end.Reason, "did not start") {
		t.Errorf("p/absent ended with %d, %q", end.ExitCode, end.Reason)
	}
}

func TestHangingBinaryIsKilledWithItsChildren(t *testing.T) {
	child := filepath.Join(t.TempDir(), "child")
	events := runPlan(t, Plan{Binaries: []Binary{
		shell("p/hangs", `sleep 1000 & echo $! > `+child+`; kill -STOP $$`, 500*time.Millisecond),
		shell("p/after", `exit 0`, time.Minute),
	}})
	if end := events[2]; end.Kind != End || end.ExitCode != -1 || !strings.Contains(end.Reason, "killed after 500ms") {
		t.Errorf("the hanging package ended as %+v", end)
	}
	if end := events[4]; end.Kind != End || end.Package != "p/after" || end.ExitCode != 0 {
		t.Errorf("the package after it ended as %+v", end)
	}
	text, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	expectGone(t, strings.TrimSpace(string(text)))
}

func TestLeftoverProcessIsNamedAndKilled(t *testing.T) {
	child := filepath.Join(t.TempDir(), "child")
	events := runPlan(t, Plan{Binaries: []Binary{shell("p/leaves", `sleep 1000 & echo $! > `+child, time.Minute)}})
	if end := events[2]; end.ExitCode != 0 || !strings.Contains(end.Reason, "left behind") {
		t.Errorf("the package ended as %+v", end)
	}
	text, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	expectGone(t, strings.TrimSpace(string(text)))
}

// expectGone waits until the process has no /proc entry or is a zombie, which whoever inherited it has yet to collect.
func expectGone(t *testing.T, pid string) {
	t.Helper()
	for range 1000 {
		stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %s still runs", pid)
}

// brokenLine fails from the nth write on.
type brokenLine struct{ writes int }

func (l *brokenLine) Write(p []byte) (int, error) {
	if l.writes--; l.writes < 0 {
		return 0, errors.New("line broken")
	}
	return len(p), nil
}

func TestBrokenLineIsAnError(t *testing.T) {
	for writes := range 4 {
		err := Run(t.Context(), Plan{Binaries: []Binary{shell("p", "echo x", time.Minute)}}, "", &brokenLine{writes: writes})
		if err == nil || !strings.Contains(err.Error(), "line broken") {
			t.Errorf("after %d writes: %v", writes, err)
		}
	}
}

func TestReadPlan(t *testing.T) {
	want := Plan{Env: []string{"A=b"}, Binaries: []Binary{shell("p", "true", time.Minute)}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadPlan(name); err != nil || len(got.Binaries) != 1 || got.Binaries[0].Limit != time.Minute || !slices.Equal(got.Env, want.Env) {
		t.Errorf("the plan came back as %+v (%v)", got, err)
	}
	if err := os.WriteFile(name, text[:len(text)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPlan(name); err == nil {
		t.Error("a broken plan was taken")
	}
}
