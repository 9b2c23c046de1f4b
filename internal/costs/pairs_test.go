package costs

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// slowing is a condition that multiplies a simulated machine's time.
type slowing struct {
	name   string
	factor float64
	now    *float64
	log    *[]string
	fails  error
}

func (s slowing) Name() string { return s.name }

func (s slowing) Begin(context.Context) (func() error, error) {
	*s.now = s.factor
	*s.log = append(*s.log, s.name)
	return func() error {
		*s.now = 1
		*s.log = append(*s.log, "end")
		return s.fails
	}, nil
}

// A machine that gets steadily slower must not make a condition look dear that
// costs nothing, nor hide what one costs.
func TestSeriesOnADriftingMachine(t *testing.T) {
	factor, drift := 1.0, 1.0
	var log []string
	run := func(context.Context) (Work, error) {
		drift *= 1.01
		log = append(log, "run")
		return Work{CPU: 1000 * drift * factor, Wall: 2000 * drift * factor}, nil
	}
	conditions := []Condition{Bare{}, slowing{name: "slow", factor: 1.25, now: &factor, log: &log}}
	series, err := Series(t.Context(), conditions, 10, run)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0, 25} {
		if len(series[i]) != 10 {
			t.Fatalf("%d pairs of %s, want 10", len(series[i]), conditions[i].Name())
		}
		for name, measure := range map[string]func(Work) float64{
			"CPU":  func(w Work) float64 { return w.CPU },
			"wall": func(w Work) float64 { return w.Wall },
		} {
			if got := Slowdown(series[i], measure); math.Abs(got.Median-want) > 0.1 || got.Interval == nil {
				t.Errorf("%s by %s: %+v, want %v %%", conditions[i].Name(), name, got, want)
			}
		}
	}
	// Round 0: bare pair, then without and with; round 1: bare pair, then with and without.
	want := []string{"run", "run", "run", "slow", "run", "end", "run", "run", "slow", "run", "end", "run"}
	if !slices.Equal(log[:len(want)], want) {
		t.Errorf("the order is %v, want %v", log[:len(want)], want)
	}
}

func TestSeriesFails(t *testing.T) {
	broken := errors.New("broken")
	factor, log := 1.0, []string{}
	works := func(context.Context) (Work, error) { return Work{CPU: 1, Wall: 1}, nil }
	fails := func(context.Context) (Work, error) { return Work{}, broken }
	for name, test := range map[string]struct {
		condition Condition
		run       func(context.Context) (Work, error)
	}{
		"the work":             {Bare{}, fails},
		"ending the condition": {slowing{name: "slow", factor: 1, now: &factor, log: &log, fails: broken}, works},
	} {
		_, err := Series(t.Context(), []Condition{test.condition}, 1, test.run)
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), test.condition.Name()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
