package recording

import (
	"math"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/internal/offcputime"
)

// TestAgreesWithOffcputime has libbpf-tools' offcputime watch the same threads in the same
// seconds. Where others keep the machine so busy that events are lost, which is said, it is
// tried again.
func TestAgreesWithOffcputime(t *testing.T) {
	tool, err := offcputime.Find()
	if err != nil {
		t.Skip(err)
	}
	for range 3 {
		ours, theirs, lost := beside(t, tool)
		t.Logf("%.3f s off the CPUs, by offcputime %.3f s; %d events lost", ours, theirs, lost)
		if math.Abs(ours/theirs-1) <= 0.05 {
			return
		}
		if lost == 0 {
			break
		}
	}
	t.Error("they do not agree")
}

// beside is how many seconds the threads were off their CPUs, by both, and how many events
// found no room.
func beside(t *testing.T, tool string) (ours, theirs float64, lost int64) {
	t.Helper()
	sleeper, err := offcputime.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var peer time.Duration
	profiles, summary := recordWaits(t, func() {
		if peer, err = offcputime.Watch(t.Context(), tool, sleeper); err != nil {
			t.Error(err)
		}
	})
	pid := int64(sleeper.PID())
	_, ns := sums(profiles[collector.OffCPU], func(s *profile.Sample) bool {
		return s.NumLabel["pid"][0] == pid && s.NumLabel["tid"][0] != pid
	})
	return ns / 1e9, peer.Seconds(), counted(summary, "ring buffer full")
}
