package accounting

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestBetweenTakesIdleOffTheWallClock(t *testing.T) {
	from := Reading{Time: 0, CPUs: map[int]Times{0: {Idle: 5 * time.Second}, 1: {}}}
	to := Reading{Time: 10e9, CPUs: map[int]Times{0: {Idle: 9 * time.Second, Steal: time.Second}, 1: {}, 2: {}}}
	got := Between(from, to)
	if len(got) != 2 {
		t.Fatalf("%d CPUs, want the 2 that were there all along", len(got))
	}
	if got[0].Busy != 6*time.Second || got[0].Idle != 4*time.Second || got[0].Steal != time.Second {
		t.Errorf("CPU 0: %+v", got[0])
	}
	if got[1].Busy != 10*time.Second {
		t.Errorf("CPU 1: %+v", got[1])
	}
}

func TestMissedOnBusyCPU(t *testing.T) {
	period := 10 * time.Millisecond
	c := CPU{Busy: 10 * time.Second, Seen: 9 * time.Second}
	if got := c.Missed(period); got != time.Second {
		t.Errorf("lost %v of a CPU that never idled, want 1s", got)
	}
	c.Seen = c.Busy - period
	if got := c.Missed(period); got != 0 {
		t.Errorf("one tick at the edge counted as %v lost", got)
	}
	c.Seen = c.Busy + time.Second
	if got := c.Missed(period); got != 0 {
		t.Errorf("lost %v where more was seen than expected", got)
	}
}

// Stolen time is missing as far as it was stolen from busy time; what was stolen from
// an idle CPU is idle time already.
func TestStolenTimeIsNoLoss(t *testing.T) {
	for seen, want := range map[time.Duration]time.Duration{5: 5, 6: 6, 7: 6, 4: 5} {
		c := CPU{Busy: 6 * time.Second, Idle: 4 * time.Second, Steal: time.Second, Seen: seen * time.Second}
		if c.Explain(10*time.Millisecond, 0); c.Busy != want*time.Second {
			t.Errorf("of 6 s, 1 s of the CPU stolen, and %d s seen, %v were to be seen, want %d s", seen, c.Busy, want)
		}
	}
}

// Ticks that find a CPU idle are busy time that no sample can account for.
func TestTicksAreNoLoss(t *testing.T) {
	period := time.Millisecond
	c := CPU{Busy: 240 * time.Millisecond, Idle: 9760 * time.Millisecond}
	if c.Missed(period) == 0 {
		t.Fatal("240 ticks missing of an idle CPU are taken for chance: the test shows nothing")
	}
	c.Explain(period, 25*time.Microsecond)
	if c.Busy != 0 || c.Ticking != 240*time.Millisecond || c.Missed(period) != 0 {
		t.Errorf("%+v", c)
	}
	c = CPU{Busy: time.Second, Idle: 9 * time.Second, Seen: 500 * time.Millisecond}
	c.Explain(period, 25*time.Microsecond)
	if c.Ticking != 225*time.Millisecond || c.Missed(period) != 275*time.Millisecond {
		t.Errorf("what 9000 ticks of 25 µs do not explain of half a second is no longer lost: %+v", c)
	}
	c = CPU{Busy: time.Second, Idle: 9 * time.Second, Seen: 2 * time.Second}
	if c.Explain(period, time.Second); c.Ticking != 0 || c.Busy != time.Second {
		t.Errorf("ticks explain what is not missing: %+v", c)
	}
}

// On a CPU that is busy a tenth of the time, chance alone must hardly ever look
// like loss, and the loss of half of the ticks must always be seen.
func TestMissedIsNotChance(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const period, ticks, busy = 10 * time.Millisecond, 1000, 0.1
	falseAlarms, found := 0, 0
	for range 1000 {
		seen, half := 0, 0
		for range ticks {
			if random.Float64() < busy {
				seen++
				half += random.IntN(2)
			}
		}
		c := CPU{Busy: time.Duration(busy * ticks * float64(period)), Idle: time.Duration((1 - busy) * ticks * float64(period))}
		if c.Seen = time.Duration(seen) * period; c.Missed(period) > 0 {
			falseAlarms++
		}
		if c.Seen = time.Duration(half) * period; c.Missed(period) > 0 {
			found++
		}
	}
	if falseAlarms > 5 || found < 950 {
		t.Errorf("%d false alarms and %d losses found in 1000 windows", falseAlarms, found)
	}
}

func TestReadOfThisMachine(t *testing.T) {
	clock, err := NewClock()
	if err != nil {
		t.Skip("needs /proc/stat: ", err)
	}
	from, err := clock.Read()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	to, err := clock.Read()
	if err != nil {
		t.Fatal(err)
	}
	wall := time.Duration(to.Time - from.Time)
	for _, c := range Between(from, to) {
		if c.Busy < 0 || c.Busy > wall {
			t.Errorf("CPU %d busy %v of %v", c.CPU, c.Busy, wall)
		}
	}
}
