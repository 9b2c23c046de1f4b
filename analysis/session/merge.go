package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/google/pprof/profile"
)

// fanIn is the number of profiles that are merged at once. profile.Merge copies
// every sample it is given, so fewer, wider merges copy less; but more profiles
// wait for each other.
const fanIn = 16

// mergeAll adds profiles up and returns nil for none. It works like the carry
// of a counter in base fanIn: as soon as fanIn sums of equally many profiles are
// there, they become one. So each sample of n profiles is copied about
// log n / log fanIn times, and no more than fanIn sums of each size wait. The
// result's time and duration span all profiles.
func mergeAll(profiles iter.Seq2[*profile.Profile, error]) (*profile.Profile, error) {
	var levels [][]*profile.Profile // sums of 1, fanIn, fanIn^2 ... profiles
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
		if levels, err = carry(levels, p); err != nil {
			return nil, err
		}
	}
	if want == nil {
		return nil, nil
	}
	slices.Reverse(levels) // the oldest windows first
	result, err := merge(slices.Concat(levels...))
	if err != nil {
		return nil, err
	}
	result.TimeNanos, result.DurationNanos = start, end-start
	if got := totals(result); !slices.Equal(got, want) {
		return nil, fmt.Errorf("the windows' totals are %v but their sum's are %v", want, got)
	}
	return result, nil
}

// carry adds a profile to the lowest level and merges the levels that are full.
func carry(levels [][]*profile.Profile, p *profile.Profile) ([][]*profile.Profile, error) {
	for i := 0; ; i++ {
		if i == len(levels) {
			levels = append(levels, nil)
		}
		levels[i] = append(levels[i], p)
		if len(levels[i]) < fanIn {
			return levels, nil
		}
		var err error
		if p, err = merge(levels[i]); err != nil {
			return nil, err
		}
		levels[i] = nil
	}
}

// merge adds a few profiles up. profile.Merge takes a profile without a period
// type for a programming error and panics, so that is checked here.
func merge(profiles []*profile.Profile) (*profile.Profile, error) {
	for _, p := range profiles {
		if p.PeriodType == nil {
			return nil, errors.New("a profile has no period type")
		}
	}
	return profile.Merge(profiles)
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
