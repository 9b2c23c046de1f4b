package calibration

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// The names of the checks.
const (
	SplitCheck  = "CPU split"
	AmountCheck = "CPU time"
	LeafCheck   = "callers of leaves"
	LostCheck   = "lost time"
	TickCheck   = "price of a tick"
)

const (
	// sigmas of chance are allowed: a true instrument is beyond them in one of 370
	// cases.
	sigmas = 3
	// resolution of a printed share, in points.
	resolution = 0.1
	// fewest samples that say anything.
	fewest = 100
)

// seen is what the samples say of Split.
type seen struct {
	samples            int64 // of its three parts
	nanoseconds        int64 // that they stand for
	half, third, fifth int64
	leaf, leafCalled   int64 // samples of the leaf, and those that show who called it
}

// add counts the samples of a window.
func (s *seen) add(p *profile.Profile) {
	for _, sample := range p.Sample {
		inHalf, inThird := has(sample, "half"), has(sample, "third")
		inFifth, inLeaf := has(sample, "fifth") || has(sample, "deeper"), has(sample, "leaf")
		n := sample.Value[0]
		switch {
		case inHalf:
			s.half += n
		case inThird || inLeaf:
			s.third += n
		case inFifth:
			s.fifth += n
		default: // the start of the program, its runtime, and what was lost
			continue
		}
		s.samples += n
		s.nanoseconds += sample.Value[1]
		if inLeaf {
			s.leaf += n
			if inThird {
				s.leafCalled += n
			}
		}
	}
}

// has tells whether a function of this package is in a stack.
func has(sample *profile.Sample, function string) bool {
	for _, location := range sample.Location {
		for _, line := range location.Line {
			if line.Function != nil && strings.HasSuffix(line.Function.Name, "/calibration."+function) {
				return true
			}
		}
	}
	return false
}

// judge compares what was seen with the truth.
func judge(truth Truth, s seen, summary session.Summary) ([]session.Check, error) {
	if truth.total() <= 0 {
		return nil, errors.New("calibrating: a program of known truth did nothing")
	}
	if s.samples < fewest {
		return nil, fmt.Errorf("calibrating: %d samples of a program that was busy for %.1f s, too few to compare", s.samples, time.Duration(truth.total()).Seconds())
	}
	checks := []session.Check{splitCheck(truth, s), amountCheck(truth, s)}
	if s.leaf > 0 {
		checks = append(checks, leafCheck(s))
	}
	if a := summary.Accounting; a != nil && a.Total.ExpectedNS > 0 {
		checks = append(checks, lostCheck(a.Total))
	}
	if c := summary.OwnCost; c != nil && c.EBPFRuns > 0 {
		checks = append(checks, tickCheck(*c))
	}
	for i := range checks {
		checks[i].Judge()
	}
	return checks, nil
}

// splitCheck compares the parts' shares. Chance is that of n draws: the standard
// deviation of a share p is sqrt(p (1-p) / n).
func splitCheck(truth Truth, s seen) session.Check {
	c := session.Check{
		Name: SplitCheck, Unit: "%", Samples: s.samples,
		What: "a program spends its time in three functions and counts by its own clock how much in each",
	}
	for _, part := range []struct {
		name  string
		truth int64
		seen  int64
	}{{"half", truth.Half, s.half}, {"third (a leaf)", truth.Third, s.third}, {"fifth (deep)", truth.Fifth, s.fifth}} {
		share := float64(part.truth) / float64(truth.total())
		deviation := math.Sqrt(share * (1 - share) / float64(s.samples))
		c.Values = append(c.Values, session.NewCheckValue(part.name, 100*share, 100*float64(part.seen)/float64(s.samples), 100*sigmas*deviation+resolution))
	}
	return c
}

// amountCheck compares the time that the samples stand for. Ticks that come in time
// scatter less than by chance, whose standard deviation is sqrt(n).
func amountCheck(truth Truth, s seen) session.Check {
	ratio := float64(s.nanoseconds) / float64(truth.total())
	return session.Check{
		Name: AmountCheck, Unit: "%", Samples: s.samples,
		What: fmt.Sprintf("the same program used %.2f s of CPU time in these functions", time.Duration(truth.total()).Seconds()),
		Values: []session.CheckValue{
			session.NewCheckValue("seen of that", 100, 100*ratio, 100*sigmas/math.Sqrt(float64(s.samples))+resolution),
		},
	}
}

// leafCheck counts the samples of the leaf that show its caller. All should; those cut
// short by a tick in the first instruction of a function are no more than one in a
// hundred.
func leafCheck(s seen) session.Check {
	const tolerated = 1
	return session.Check{
		Name: LeafCheck, Unit: "%", Samples: s.leaf,
		What: "one of these functions is a leaf, to which compilers give no frame; its caller is known",
		Values: []session.CheckValue{
			session.NewCheckValue("stacks with the caller", 100, 100*float64(s.leafCalled)/float64(s.leaf), tolerated),
		},
	}
}

func lostCheck(t session.Time) session.Check {
	return session.Check{
		Name: LostCheck, Unit: "%", Samples: t.Samples,
		What:   "the CPUs' busy time by the kernel's count, meanwhile",
		Values: []session.CheckValue{{Name: "lost of that", Seen: 100 * float64(max(t.LostNS, 0)) / float64(t.ExpectedNS)}},
	}
}

func tickCheck(c session.OwnCost) session.Check {
	runs := float64(c.EBPFRuns)
	check := session.Check{
		Name: TickCheck, Unit: "us", Samples: c.EBPFRuns,
		What:   "what one sample takes from the CPU that it is taken on",
		Values: []session.CheckValue{{Name: "eBPF program", Seen: 1e6 * c.EBPFRunSeconds / runs}},
	}
	if c.InterruptSeconds > 0 {
		check.Values = append(check.Values, session.CheckValue{Name: "interrupt, the program included", Seen: 1e6 * c.InterruptSeconds / runs})
	}
	return check
}
