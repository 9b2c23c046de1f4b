package recording

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/waits"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/internal/postgres"
)

// A database in which eight clients change the same row: what its processes wait for is
// the row's lock, by the names of its own functions, and the log's way to the disk.
func TestPostgresWithAHotRow(t *testing.T) {
	requireRoot(t)
	if os.Getenv("NARROWS_TEST_FULL") == "" {
		t.Skip("takes half a minute; set NARROWS_TEST_FULL")
	}
	server, err := postgres.Start(t.Context())
	if errors.Is(err, postgres.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	script, err := server.Script("UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;\n")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := server.PID()
	if err != nil {
		t.Fatal(err)
	}
	command := server.Bench("-c", "8", "-j", "2", "-T", "12", "-n", "-f", script)
	load := exec.Command(command[0], command[1:]...)
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	sink := &keepAll{}
	rec, err := Start(t.Context(), collector.Config{
		Frequency: 99, Window: 10 * time.Second, Waits: true, Selection: collector.Selection{PIDs: []int{pid}},
	}, sink)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(6 * time.Second)
	summary, err := rec.Stop()
	if err = errors.Join(err, load.Wait()); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	p, err := profile.Merge(sink.profiles[collector.OffCPU])
	if err != nil {
		t.Fatal(err)
	}
	waits.MarkIdle(p)
	var row, log, all float64
	for _, s := range p.Sample {
		if state := s.Label["state"][0]; state == waits.IdleState || state == "runnable" || !onStack(s, "PostgresMain") {
			continue
		}
		all += float64(s.Value[1])
		switch {
		case onStack(s, "LockAcquireExtended"):
			row += float64(s.Value[1])
		case onStack(s, "XLogFlush"), onStack(s, "LWLockAcquire"):
			log += float64(s.Value[1])
		}
	}
	t.Logf("clients' processes waited %.1f s: %.1f s for the row's lock, %.2f s for the log and its locks", all/1e9, row/1e9, log/1e9)
	if row < all/2 || log == 0 || row+log < 0.9*all {
		t.Errorf("of %.1f s of waiting %.1f are named after the row's lock, %.1f after the log", all/1e9, row/1e9, log/1e9)
	}
}

// onStack tells whether a function is on a sample's stack.
func onStack(s *profile.Sample, function string) bool {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if strings.HasPrefix(line.Function.Name, function) {
				return true
			}
		}
	}
	return false
}
