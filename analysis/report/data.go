package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// FileName is the session's file that holds the Markdown report.
const FileName = "CONSOLIDATED_PROFILING_REPORT.md"

// maxHotspots is the number of functions in profiles/<service>.json.
const maxHotspots = 100

// Data is what a report is made of.
type Data struct {
	Session *session.Session
	Metrics []metrics.Document
	// Ranking is nil for a session without a CPU profile.
	Ranking *rank.Report
	// Memory is which memory lived at the end, nil if that was not recorded.
	Memory  *memory.Document
	Listing session.Listing
}

// Load reads what a report needs from a session's files.
func Load(s *session.Session) (*Data, error) {
	d := &Data{Session: s}
	var err error
	if d.Metrics, err = s.Metrics(); err != nil {
		return nil, err
	}
	if d.Ranking, err = rank.Read(s); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if d.Memory, err = loadMemory(s); err != nil {
		return nil, err
	}
	if d.Listing, err = s.Files(); err != nil {
		return nil, err
	}
	return d, nil
}

// Judge ranks a session's CPU profile, if it has one, and writes
// bottleneck_report.json, a profiles/<service>.json for each service and the
// Markdown report into it. Older ones are replaced.
func Judge(s *session.Session, options rank.Options) (*Data, error) {
	ranking, err := rank.FromSession(s, options)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := ranking.Write(s); err != nil {
			return nil, err
		}
		if err := writeServiceProfiles(s, ranking); err != nil {
			return nil, err
		}
	}
	d, err := Load(s)
	if err != nil {
		return nil, err
	}
	file, err := s.Create(FileName)
	if err != nil {
		return nil, err
	}
	if err := Markdown(file, d); err != nil {
		file.Discard()
		return nil, fmt.Errorf("writing %s: %w", FileName, err)
	}
	return d, file.Close()
}

// writeServiceProfiles writes the table of functions of each service.
func writeServiceProfiles(s *session.Session, ranking *rank.Report) error {
	names := map[string]bool{}
	for _, m := range ranking.Ranked {
		for _, service := range m.Services {
			if service.Service != "" {
				names[service.Service] = true
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	tables := map[string]*rank.Functions{}
	for name := range names {
		tables[name] = rank.NewFunctions(rank.Subject{Service: name, Component: name, Profiler: profiler(s)})
	}
	for p, err := range s.Parts(session.CPU) {
		if err != nil {
			return err
		}
		for _, table := range tables {
			if err := table.Add(p); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := tables[name].Profile(maxHotspots).Write(s); err != nil {
			return err
		}
	}
	return nil
}

// profiler says what took the CPU samples.
func profiler(s *session.Session) string {
	for _, signal := range s.Signals {
		if signal.Signal == "cpu" {
			return "narrows " + s.NarrowsVersion + ", " + signal.Backend
		}
	}
	return "narrows " + s.NarrowsVersion
}

// result is one metric of one benchmark, beside its target if it has one.
type result struct {
	document *metrics.Document
	metric   string
	target   *metrics.Target
}

// targets lists all targets of all benchmarks.
func (d *Data) targets() []result {
	var list []result
	for i := range d.Metrics {
		for j := range d.Metrics[i].Targets {
			t := &d.Metrics[i].Targets[j]
			list = append(list, result{&d.Metrics[i], t.Metric, t})
		}
	}
	return list
}

// others lists the metrics that have no target.
func (d *Data) others() []result {
	var list []result
	for i := range d.Metrics {
		m := &d.Metrics[i]
		for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
			if !slices.ContainsFunc(m.Targets, func(t metrics.Target) bool { return t.Metric == name }) {
				list = append(list, result{m, name, nil})
			}
		}
	}
	return list
}

// value prints the metric with its unit, or "unknown".
func (r result) value() string {
	v := r.document.Metrics[r.metric]
	if v == nil {
		return "unknown"
	}
	return withUnit(number(*v), r.unit())
}

// qualified is the value, with what it means nothing without: of a compression ratio
// whether what was compressed came back.
func (r result) qualified() string {
	if trip := r.document.RoundTrip; trip != nil && metrics.IsRatio(r.metric) && r.document.Metrics[r.metric] != nil {
		return fmt.Sprintf("%s, lossless: %s", r.value(), trip.Lossless)
	}
	return r.value()
}

// interval prints the metric's interval and its confidence, or "unknown".
func (r result) interval() string {
	ci, ok := r.document.CI[r.metric]
	if !ok || r.document.Metrics[r.metric] == nil {
		return "unknown"
	}
	return fmt.Sprintf("%s (%.4g %%)", withUnit(number(ci.Low)+" to "+number(ci.High), r.unit()), 100*ci.Confidence)
}

// why is the reason for the target's verdict, or for a value that is unknown.
func (r result) why() string {
	if reason := r.document.Unavailable[r.metric]; reason != "" {
		return reason
	}
	if r.target != nil {
		return r.target.Reason
	}
	return ""
}

// unit is the target's, or what the metric's name ends with.
func (r result) unit() string {
	if r.target != nil && r.target.Unit != "" {
		return r.target.Unit
	}
	if metrics.IsRatio(r.metric) {
		return ":1"
	}
	for _, known := range []struct{ suffix, unit string }{
		{"_mb_per_s", "MB/s"}, {"_ms_per_mb", "ms/MB"}, {"_per_second", "/s"}, {"_ms", "ms"}, {"_us", "us"}, {"_mb", "MB"}, {"_bytes", "bytes"}, {"_percent", "%"}, {"_seconds", "s"},
	} {
		if strings.HasSuffix(r.metric, known.suffix) {
			return known.unit
		}
	}
	return ""
}

// worst is the verdict of a benchmark in one word.
func worst(m *metrics.Document) metrics.Verdict {
	if m.Status != metrics.Complete || len(m.Targets) == 0 {
		return metrics.Undecided
	}
	order := []metrics.Verdict{metrics.Missed, metrics.Undecided, metrics.Met}
	return slices.MinFunc(m.Targets, func(a, b metrics.Target) int {
		return cmp.Compare(slices.Index(order, a.Verdict), slices.Index(order, b.Verdict))
	}).Verdict
}
