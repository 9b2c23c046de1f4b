package flamegraph

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"
)

// measure is the chosen sample type and the one that counts its samples.
type measure struct {
	index int
	name  string // "cpu"
	unit  string // "nanoseconds"
	// count is the index of the type that counts what index measures (samples
	// for cpu, contentions for delay), or -1 where the profile has none.
	count     int
	countName string
}

// chooseMeasure resolves a sample type as go tool pprof does. The counting type
// is the nearest one of unit "count" at or before it: Go's profiles, and those
// of this project, put each count before what it counts.
func chooseMeasure(p *profile.Profile, sampleType string) (measure, error) {
	if p == nil {
		return measure{}, errors.New("no profile")
	}
	if err := p.CheckValid(); err != nil {
		return measure{}, fmt.Errorf("checking the profile: %w", err)
	}
	i, err := p.SampleIndexByName(sampleType)
	if err != nil {
		return measure{}, fmt.Errorf("choosing the sample type: %w", err)
	}
	if i < 0 {
		return measure{}, fmt.Errorf("%w: the profile has no sample types", ErrEmpty)
	}
	m := measure{index: i, name: printable(p.SampleType[i].Type), unit: printable(p.SampleType[i].Unit), count: -1}
	for c := i; c >= 0; c-- {
		if p.SampleType[c].Unit == "count" {
			m.count, m.countName = c, printable(p.SampleType[c].Type)
			break
		}
	}
	return m, nil
}

// fits tells why a profile, one of several, does not have what is measured.
func (m measure) fits(p *profile.Profile) error {
	if m.index >= len(p.SampleType) || printable(p.SampleType[m.index].Type) != m.name || printable(p.SampleType[m.index].Unit) != m.unit ||
		m.count >= 0 && printable(p.SampleType[m.count].Type) != m.countName {
		return fmt.Errorf("a profile does not have %s in %s where the first has it", m.name, m.unit)
	}
	return nil
}

// scales tells of each unit that pprof profiles use what it measures, and how
// many of the smallest unit of that family it is.
var scales = map[string]struct {
	family string
	factor float64
}{
	"ns": {"time", 1}, "nanoseconds": {"time", 1},
	"us": {"time", 1e3}, "microseconds": {"time", 1e3},
	"ms": {"time", 1e6}, "milliseconds": {"time", 1e6},
	"s": {"time", 1e9}, "seconds": {"time", 1e9},
	"B": {"bytes", 1}, "bytes": {"bytes", 1},
	"kilobytes": {"bytes", 1 << 10},
}

// step is a unit to print in, and how many of the smallest unit it is.
type step struct {
	size float64
	name string
}

var families = map[string][]step{
	"time":  {{3600e9, "h"}, {60e9, "min"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}},
	"bytes": {{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, "B"}},
}

// format prints a value with its unit to four digits; graph.js does the same.
func (m measure) format(v int64) string {
	scale, ok := scales[m.unit]
	if !ok {
		if m.unit == "" || m.unit == "count" {
			return thousands(v)
		}
		return thousands(v) + " " + m.unit
	}
	x := float64(v) * scale.factor
	for _, s := range families[scale.family] {
		if math.Abs(x) >= s.size || s.size == 1 {
			return digits(x/s.size) + " " + s.name
		}
	}
	return ""
}

// digits prints x with four significant digits and no exponent.
func digits(x float64) string {
	places := 0
	if a := math.Abs(x); a > 0 {
		places = min(max(3-int(math.Floor(math.Log10(a))), 0), 3)
	}
	s := strconv.FormatFloat(x, 'f', places, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// thousands prints n with a comma between groups of three digits.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
