package perflock

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	threads, err := parse(` contended   total wait     max wait     avg wait          pid   comm

        20    420.13 ms     24.70 ms     21.01 ms        15174   :15174
        12    135.52 us     19.90 us     11.29 us        15150   recording test
         2      1.50 s      1.20 s      0.75 s               7   a
`)
	if err != nil {
		t.Fatal(err)
	}
	for tid, want := range map[int]Thread{
		15174: {20, 420130 * time.Microsecond}, 15150: {12, 135520 * time.Nanosecond}, 7: {2, 1500 * time.Millisecond},
	} {
		if got := threads[tid]; got != want {
			t.Errorf("thread %d: %v, want %v", tid, got, want)
		}
	}
	if _, err := parse("perf: not supported\n"); err == nil {
		t.Error("no table was read without complaint")
	}
}
