package costs

import (
	"context"
	"fmt"
)

// Condition is something that happens to the machine while a target works.
type Condition interface {
	Name() string
	// Begin starts it and returns when it costs what it always does; end stops it.
	Begin(ctx context.Context) (end func() error, err error)
}

// Bare is the condition in which nothing happens: with it, a series is its own
// control.
type Bare struct{}

// Name says so.
func (Bare) Name() string { return "nothing" }

// Begin does nothing.
func (Bare) Begin(context.Context) (func() error, error) { return func() error { return nil }, nil }

// Pair is the same work without and with a condition, one right after the other.
type Pair struct{ Without, With Work }

// Series measures the given number of pairs for each condition. The conditions
// take turns, and in every second round the run with the condition comes first, so
// that a machine that slowly gets faster or slower favours none. The result has the
// conditions' order.
func Series(ctx context.Context, conditions []Condition, rounds int, run func(context.Context) (Work, error)) ([][]Pair, error) {
	series := make([][]Pair, len(conditions))
	for round := range rounds {
		for i, condition := range conditions {
			pair, err := measurePair(ctx, condition, round%2 == 1, run)
			if err != nil {
				return nil, fmt.Errorf("measuring the target under %s: %w", condition.Name(), err)
			}
			series[i] = append(series[i], pair)
		}
	}
	return series, nil
}

func measurePair(ctx context.Context, condition Condition, conditionFirst bool, run func(context.Context) (Work, error)) (pair Pair, err error) {
	if conditionFirst {
		if pair.With, err = runUnder(ctx, condition, run); err != nil {
			return Pair{}, err
		}
		pair.Without, err = run(ctx)
		return pair, err
	}
	if pair.Without, err = run(ctx); err != nil {
		return Pair{}, err
	}
	pair.With, err = runUnder(ctx, condition, run)
	return pair, err
}

func runUnder(ctx context.Context, condition Condition, run func(context.Context) (Work, error)) (Work, error) {
	end, err := condition.Begin(ctx)
	if err != nil {
		return Work{}, err
	}
	work, err := run(ctx)
	if endErr := end(); err == nil {
		err = endErr
	}
	return work, err
}

// Slowdown is by how many percent the condition lengthens what measure takes of
// each run: 100 (with/without - 1), estimated over the pairs.
func Slowdown(pairs []Pair, measure func(Work) float64) Estimate {
	var slowdowns []float64
	for _, p := range pairs {
		slowdowns = append(slowdowns, 100*(measure(p.With)/measure(p.Without)-1))
	}
	return Median(slowdowns)
}
