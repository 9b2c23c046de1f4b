package heldlock_test

import (
	"os"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/internal/heldlock"
)

// TestHold checks that all wait about as long as the lock is held.
func TestHold(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("faults of the kernel are for root to handle")
	}
	for name, lock := range map[string]heldlock.Lock{"file": heldlock.File, "pipe": heldlock.Pipe} {
		t.Run(name, func(t *testing.T) {
			plan := heldlock.Plan{Lock: lock, Dir: t.TempDir(), Waiters: 3, Rounds: 4, Hold: 10 * time.Millisecond}
			truth, err := heldlock.Hold(plan)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", truth)
			if truth.Waits != 12 || truth.Waited < 60*time.Millisecond || truth.Waited > time.Second {
				t.Errorf("%d waits of %v together, where 12 of about 10 ms were planned", truth.Waits, truth.Waited)
			}
		})
	}
}
