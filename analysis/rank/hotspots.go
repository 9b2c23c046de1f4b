package rank

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// ServiceProfile is the content of profiles/<service>.json: the functions of
// one service by the CPU time they used themselves. Its layout is described by
// docs/schema/profile.schema.json.
type ServiceProfile struct {
	SchemaVersion   int     `json:"schema_version"`
	Service         string  `json:"service"`
	Component       string  `json:"component"`
	Profiler        string  `json:"profiler"`
	DurationSeconds float64 `json:"duration_seconds"`
	// Denominator says in words what percentage_of_total is a percentage of,
	// TotalMS is its value.
	Denominator     string    `json:"denominator"`
	TotalMS         float64   `json:"total_ms"`
	Samples         int64     `json:"samples"`
	LostMS          float64   `json:"lost_ms"`
	CallCountReason string    `json:"call_count_reason"`
	Functions       int       `json:"functions"` // seen as innermost, shown or not
	TopHotspots     []Hotspot `json:"top_hotspots"`
}

// Hotspot is one function. Self time is that of samples in which the function
// is innermost; total time that of all samples it is in, each counted once
// however often the function recurs.
type Hotspot struct {
	Function          string  `json:"function"`
	Binary            string  `json:"binary"`
	SelfTimeMS        float64 `json:"self_time_ms"`
	TotalTimeMS       float64 `json:"total_time_ms"`
	CallCount         *int64  `json:"call_count"`
	PercentageOfTotal float64 `json:"percentage_of_total"`
	Samples           int64   `json:"samples"`
}

// Subject names what a [ServiceProfile] is of.
type Subject struct {
	Service   string // the value of the label service; "" takes all samples
	Component string
	Profiler  string // what took the samples, and how often
}

// Functions adds up the functions of one service over the CPU profiles of a
// recording's windows.
type Functions struct {
	subject     Subject
	self        map[frame]weight
	total       map[frame]int64
	all         weight // bounds every other sum
	ns, lost    int64
	samples     int64
	start, end  int64 // of all profiles
	hasProfiles bool
}

// NewFunctions starts with no profile.
func NewFunctions(subject Subject) *Functions {
	return &Functions{subject: subject, self: map[frame]weight{}, total: map[frame]int64{}}
}

// Add adds a CPU profile.
func (f *Functions) Add(p *profile.Profile) error {
	samples, nanoseconds, err := cpuTypes(p)
	if err != nil {
		return fmt.Errorf("listing the functions of %s: %w", f.subject.Service, err)
	}
	start, end := p.TimeNanos, p.TimeNanos+p.DurationNanos
	if !f.hasProfiles {
		f.start, f.end, f.hasProfiles = start, end, true
	}
	f.start, f.end = min(f.start, start), max(f.end, end)
	for _, s := range p.Sample {
		if f.subject.Service != "" && label(s, "service") != f.subject.Service {
			continue
		}
		w := weight{ns: s.Value[nanoseconds], samples: s.Value[samples]}
		if err := f.all.grow(w); err != nil {
			return fmt.Errorf("listing the functions of %s: %w", f.subject.Service, err)
		}
		f.addSample(s, w)
	}
	return nil
}

func (f *Functions) addSample(s *profile.Sample, w weight) {
	if _, ok := lostReason(s); ok {
		f.lost += w.ns
		return
	}
	f.ns += w.ns
	f.samples += w.samples
	seen := map[frame]bool{}
	for at := range frames(s) {
		if len(seen) == 0 {
			addTo(f.self, at, w)
		}
		if !seen[at] {
			seen[at] = true
			f.total[at] += w.ns
		}
	}
}

// Profile lists the limit functions with most self time.
func (f *Functions) Profile(limit int) *ServiceProfile {
	d := &ServiceProfile{
		SchemaVersion: ProfileSchemaVersion, Service: f.subject.Service, Component: f.subject.Component, Profiler: f.subject.Profiler,
		DurationSeconds: time.Duration(f.end - f.start).Seconds(),
		Denominator:     denominator(groupKey{service: f.subject.Service}) + ", without what was lost",
		CallCountReason: "samples show where time is spent, not how often a function is called",
		TotalMS:         milliseconds(f.ns), LostMS: milliseconds(f.lost), Samples: f.samples, Functions: len(f.self),
		TopHotspots: []Hotspot{},
	}
	for at, w := range f.self {
		d.TopHotspots = append(d.TopHotspots, Hotspot{
			Function: at.function, Binary: at.binary, SelfTimeMS: milliseconds(w.ns), TotalTimeMS: milliseconds(f.total[at]),
			PercentageOfTotal: 100 * ratio(w.ns, f.ns), Samples: w.samples,
		})
	}
	slices.SortFunc(d.TopHotspots, func(a, b Hotspot) int {
		return cmp.Or(cmp.Compare(b.SelfTimeMS, a.SelfTimeMS), strings.Compare(a.Function, b.Function), strings.Compare(a.Binary, b.Binary))
	})
	d.TopHotspots = d.TopHotspots[:min(max(limit, 0), len(d.TopHotspots))]
	return d
}

func milliseconds(ns int64) float64 { return float64(ns) / 1e6 }
