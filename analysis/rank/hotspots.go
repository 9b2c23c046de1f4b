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

// NewServiceProfile lists the limit functions of a service with most self time
// in a CPU profile. The duration is the profile's.
func NewServiceProfile(p *profile.Profile, subject Subject, limit int) (*ServiceProfile, error) {
	samples, nanoseconds, err := cpuTypes(p)
	if err != nil {
		return nil, fmt.Errorf("listing the functions of %s: %w", subject.Service, err)
	}
	d := &ServiceProfile{
		SchemaVersion: SchemaVersion, Service: subject.Service, Component: subject.Component, Profiler: subject.Profiler,
		DurationSeconds: time.Duration(p.DurationNanos).Seconds(),
		Denominator:     denominator(groupKey{service: subject.Service}) + ", without what was lost",
		CallCountReason: "samples show where time is spent, not how often a function is called",
		TopHotspots:     []Hotspot{},
	}
	self, total := map[frame]weight{}, map[frame]int64{}
	var all weight
	var sum, lost int64
	for _, s := range p.Sample {
		if subject.Service != "" && label(s, "service") != subject.Service {
			continue
		}
		w := weight{ns: s.Value[nanoseconds], samples: s.Value[samples]}
		if err := all.grow(w); err != nil {
			return nil, fmt.Errorf("listing the functions of %s: %w", subject.Service, err)
		}
		if _, ok := lostReason(s); ok {
			lost += w.ns
			continue
		}
		sum += w.ns
		d.Samples += w.samples
		seen := map[frame]bool{}
		for f := range frames(s) {
			if len(seen) == 0 {
				addTo(self, f, w)
			}
			if !seen[f] {
				seen[f] = true
				total[f] += w.ns
			}
		}
	}
	d.TotalMS, d.LostMS, d.Functions = milliseconds(sum), milliseconds(lost), len(self)
	for f, w := range self {
		d.TopHotspots = append(d.TopHotspots, Hotspot{
			Function: f.function, Binary: f.binary, SelfTimeMS: milliseconds(w.ns), TotalTimeMS: milliseconds(total[f]),
			PercentageOfTotal: 100 * ratio(w.ns, sum), Samples: w.samples,
		})
	}
	slices.SortFunc(d.TopHotspots, func(a, b Hotspot) int {
		return cmp.Or(cmp.Compare(b.SelfTimeMS, a.SelfTimeMS), strings.Compare(a.Function, b.Function), strings.Compare(a.Binary, b.Binary))
	})
	d.TopHotspots = d.TopHotspots[:min(max(limit, 0), len(d.TopHotspots))]
	return d, nil
}

func milliseconds(ns int64) float64 { return float64(ns) / 1e6 }
