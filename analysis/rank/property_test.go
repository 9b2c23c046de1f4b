package rank

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"pgregory.net/rapid"
)

func TestPayoffNeverExceedsTheShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64Range(-1, 2).Draw(t, "f")
		p := payoff(f, "CPU time")
		if p.SavingAtMost < 0 || p.SavingAtMost > max(f, 0) || p.SavingAtMost > 1 {
			t.Fatalf("saving %v of a share of %v", p.SavingAtMost, f)
		}
		// Amdahl: a part made s times faster saves f(1-1/s) < f.
		s := rapid.Float64Range(1, 1e6).Draw(t, "s")
		if p.SpeedupAtMost != nil && *p.SpeedupAtMost < 1/(1-p.SavingAtMost*(1-1/s)) {
			t.Fatalf("a part %v times faster beats the bound %v", s, *p.SpeedupAtMost)
		}
	})
}

// randomWindows draws windows of samples over few functions and labels, so
// that keys collide.
func randomWindows(t *rapid.T) [][]drawn {
	return rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) drawn {
		stack := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d|e", "[lost: missed ticks]"}), 0, 4).Draw(t, "stack")
		return drawn{
			stack:  strings.Join(stack, ";"),
			n:      rapid.Int64Range(0, 60).Draw(t, "n"),
			labels: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{first, ryot, "service=agents", "phase=prefill"}), 0, 3, func(l string) string { key, _, _ := strings.Cut(l, "="); return key }).Draw(t, "labels"),
		}
	}), 0, 8), 1, 5).Draw(t, "windows")
}

type drawn struct {
	stack  string
	n      int64
	labels []string
}

func build(windows [][]drawn) []*builder {
	var list []*builder
	for _, window := range windows {
		b := newBuilder()
		for _, s := range window {
			b.add(s.stack, s.n, s.labels...)
		}
		list = append(list, b)
	}
	return list
}

func TestSharesAddUpToAtMostOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var tally Tally
		for _, b := range build(randomWindows(rt)) {
			if err := tally.Add(b.p); err != nil {
				rt.Fatal(err)
			}
		}
		r, err := tally.Report(nil, Options{MinSamples: 1, Top: 1000, TopOverall: 1000})
		if err != nil {
			rt.Fatal(err)
		}
		for _, m := range r.Ranked {
			machine := 0.0
			for _, s := range m.Services {
				sum := 0.0
				for _, b := range s.Bottlenecks {
					sum += b.Share
					machine += b.RecordedShare
					if b.Interval.Low > b.Share || b.Interval.High < b.Share || b.Interval.Low < 0 || b.Interval.High > 1 {
						rt.Fatalf("the interval %+v does not hold the share %v", b.Interval, b.Share)
					}
					if b.TotalNS < b.SelfNS {
						rt.Fatalf("total %d < self %d", b.TotalNS, b.SelfNS)
					}
					callers := 0.0
					for _, c := range b.Callers {
						callers += c.Share
					}
					if callers > 1+1e-9 {
						rt.Fatalf("callers' shares add up to %v", callers)
					}
				}
				if sum > 1+1e-9 {
					rt.Fatalf("shares add up to %v", sum)
				}
			}
			if machine > 1+1e-9 {
				rt.Fatalf("shares of the machine add up to %v", machine)
			}
		}
	})
}

func TestOrderOfSamplesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		windows := randomWindows(rt)
		want := rankAll(t, nil, build(windows)...)
		for i := range windows {
			windows[i] = rapid.Permutation(windows[i]).Draw(rt, "order")
		}
		if diff := cmp.Diff(want, rankAll(t, nil, build(windows)...)); diff != "" {
			rt.Fatalf("after shuffling (-want +got):\n%s", diff)
		}
	})
}

func TestMergingWindowsKeepsShares(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		windows := build(randomWindows(rt))
		var profiles []*profile.Profile
		for _, b := range windows {
			profiles = append(profiles, b.p)
		}
		merged, err := profile.Merge(profiles)
		if err != nil {
			rt.Fatal(err)
		}
		apart := rankAll(t, nil, windows...)
		together := rankAll(t, nil, &builder{p: merged})
		if diff := cmp.Diff(withoutIntervals(apart), withoutIntervals(together)); diff != "" {
			rt.Fatalf("merged (-apart +together):\n%s", diff)
		}
	})
}

// withoutIntervals leaves what does not depend on how many windows there are.
func withoutIntervals(r *Report) map[string]float64 {
	all := map[string]float64{}
	for _, m := range r.Ranked {
		for _, s := range m.Services {
			for _, b := range s.Bottlenecks {
				all[m.Benchmark+"/"+s.Service+"/"+b.Function] = b.Share
			}
		}
	}
	return all
}
