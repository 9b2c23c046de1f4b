package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/google/pprof/profile"
)

// mergeAll adds profiles up and returns nil for none. It works like the carry
// of a binary counter: sums of equally many profiles are added to each other,
// so n profiles take n log n work and the sums held at any time are at most
// log n, together about twice the result. The result's time and duration span
// all profiles.
func mergeAll(profiles iter.Seq2[*profile.Profile, error]) (*profile.Profile, error) {
	type sum struct {
		p     *profile.Profile
		level int
	}
	var sums []sum
	var want []int64
	var start, end int64
	for p, err := range profiles {
		if err != nil {
			return nil, err
		}
		if want == nil {
			want = make([]int64, len(p.SampleType))
			start, end = p.TimeNanos, p.TimeNanos+p.DurationNanos
		}
		start, end = min(start, p.TimeNanos), max(end, p.TimeNanos+p.DurationNanos)
		if len(p.SampleType) != len(want) {
			return nil, fmt.Errorf("a window has %d sample types, the first has %d", len(p.SampleType), len(want))
		}
		for i, v := range totals(p) {
			want[i] += v
		}
		sums = append(sums, sum{p: p})
		for n := len(sums); n >= 2 && sums[n-1].level == sums[n-2].level; n = len(sums) {
			merged, err := mergeTwo(sums[n-2].p, sums[n-1].p)
			if err != nil {
				return nil, err
			}
			sums = append(sums[:n-2], sum{p: merged, level: sums[n-1].level + 1})
		}
	}
	if len(sums) == 0 {
		return nil, nil
	}
	result := sums[len(sums)-1].p
	for _, s := range slices.Backward(sums[:len(sums)-1]) {
		var err error
		if result, err = mergeTwo(s.p, result); err != nil {
			return nil, err
		}
	}
	result.TimeNanos, result.DurationNanos = start, end-start
	if got := totals(result); !slices.Equal(got, want) {
		return nil, fmt.Errorf("the windows' totals are %v but their sum's are %v", want, got)
	}
	return result, nil
}

// mergeTwo adds two profiles up. profile.Merge takes a profile without a period
// type for a programming error and panics, so that is checked here.
func mergeTwo(a, b *profile.Profile) (*profile.Profile, error) {
	if a.PeriodType == nil || b.PeriodType == nil {
		return nil, errors.New("a profile has no period type")
	}
	return profile.Merge([]*profile.Profile{a, b})
}

// windowProfiles reads the profiles of the given windows one after the other.
func (f *folder) windowProfiles(ctx context.Context, name string, windows []int) iter.Seq2[*profile.Profile, error] {
	return func(yield func(*profile.Profile, error) bool) {
		for _, index := range windows {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			p, err := f.readProfile(windowFile(index, name))
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}
