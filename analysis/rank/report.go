package rank

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// Options are the numbers that a ranking takes. A zero field stands for its
// default.
type Options struct {
	// Profile is the name of the ranked file, for the commands that show the
	// evidence; "cpu.pb.gz" by default.
	Profile    string
	Confidence float64 // of intervals; 0.95
	MinSamples int64   // below which a place is not shown; 30
	Top        int     // places for each service and benchmark; 3
	TopOverall int     // places of all; 5

	// Seconds is how long each benchmark ran, CPUs how many there are, and Queues how many
	// threads wait on average before each lock that has a convoy; [FromSession] sets them.
	Seconds map[string]float64
	CPUs    int
	Queues  map[string]float64
}

func (o Options) withDefaults() Options {
	o.Profile = cmp.Or(o.Profile, "cpu.pb.gz")
	o.Confidence = cmp.Or(o.Confidence, 0.95)
	o.MinSamples = cmp.Or(o.MinSamples, 30)
	o.Top = cmp.Or(o.Top, 3)
	o.TopOverall = cmp.Or(o.TopOverall, 5)
	return o
}

// compared is [Report.Compared].
const compared = "Within one service and benchmark, functions are ordered by the CPU time they used themselves (exclusive time); " +
	"their shares of the service's CPU time add up. Across services and benchmarks the order is by priority, then by that share; " +
	"those shares have different denominators and do not add up."

// Report ranks what was added, beside the outcomes of the benchmarks. Samples
// without a benchmark are ranked only if no sample has one, and within a
// benchmark samples without a service only if none has one. The order and the
// content do not depend on the order of samples.
func (t *Tally) Report(documents []metrics.Document, options Options) (*Report, error) {
	o := options.withDefaults()
	if o.Confidence <= 0 || o.Confidence >= 1 || o.MinSamples < 0 || o.Top < 0 || o.TopOverall < 0 {
		return nil, fmt.Errorf("ranking with confidence %v, at least %d samples, top %d and %d: the confidence must be between 0 and 1, the rest positive", o.Confidence, o.MinSamples, o.Top, o.TopOverall)
	}
	r := &Report{
		SchemaVersion: SchemaVersion, Profile: o.Profile, Windows: t.windows, MinSamples: o.MinSamples, Confidence: o.Confidence,
		Compared: compared, Priority: rules(), Lost: []Lost{}, Ranked: []Measured{}, Top: []Bottleneck{},
	}
	for _, g := range t.groups {
		r.SeenNS += g.total.ns
		r.Samples += g.total.samples
	}
	r.Lost = t.lostShares(r.SeenNS)

	var all []Bottleneck
	for _, benchmark := range t.benchmarks(documents) {
		m, places := t.measure(benchmark, documents, o)
		r.Ranked = append(r.Ranked, m)
		all = append(all, places...)
	}
	r.Outside = t.outside(r.SeenNS)
	r.Top = foremost(all, o.TopOverall)
	return r, nil
}

// lostShares lists lost time by reason, most first.
func (t *Tally) lostShares(seen int64) []Lost {
	whole := seen
	for _, ns := range t.lost {
		whole += ns
	}
	lost := []Lost{}
	for reason, ns := range t.lost {
		lost = append(lost, Lost{Reason: reason, NS: ns, Share: ratio(ns, whole)})
	}
	slices.SortFunc(lost, func(a, b Lost) int {
		return cmp.Or(cmp.Compare(b.NS, a.NS), cmp.Compare(a.Reason, b.Reason))
	})
	return lost
}

// labelled says whether any sample names a benchmark.
func (t *Tally) labelled() bool {
	for key, g := range t.groups {
		if key.benchmark != "" && g.total.samples > 0 {
			return true
		}
	}
	return false
}

// outside is the time without a benchmark, where others have one.
func (t *Tally) outside(seen int64) Outside {
	if !t.labelled() {
		return Outside{}
	}
	var ns int64
	for key, g := range t.groups {
		if key.benchmark == "" {
			ns += g.total.ns
		}
	}
	return Outside{NS: ns, Share: ratio(ns, seen)}
}

// benchmarks lists the benchmarks that have samples or a document: those with one in
// the order of the documents, then the others by name.
func (t *Tally) benchmarks(documents []metrics.Document) []string {
	var names []string
	for _, d := range documents {
		if !slices.Contains(names, d.Benchmark) {
			names = append(names, d.Benchmark)
		}
	}
	others := map[string]bool{}
	labelled := t.labelled()
	for key := range t.groups {
		if (key.benchmark != "" || !labelled) && !slices.Contains(names, key.benchmark) {
			others[key.benchmark] = true
		}
	}
	for key := range t.waiting.groups {
		if key.benchmark != "" && !slices.Contains(names, key.benchmark) {
			others[key.benchmark] = true
		}
	}
	return append(names, slices.Sorted(maps.Keys(others))...)
}

// measure ranks one benchmark. It returns the places of all its services that
// have enough samples, too.
func (t *Tally) measure(benchmark string, documents []metrics.Document, o Options) (Measured, []Bottleneck) {
	m := Measured{Benchmark: benchmark, Targets: []metrics.Target{}, Services: []Service{}}
	var document *metrics.Document
	if i := slices.IndexFunc(documents, func(d metrics.Document) bool { return d.Benchmark == benchmark }); i >= 0 {
		document = &documents[i]
		m.Status = document.Status
		m.Targets = append(m.Targets, document.Targets...)
	}
	m.Verdict, m.VerdictReason = judge(document)
	if benchmark == "" {
		m.VerdictReason = "no benchmark ran"
	}
	services := []string{}
	for key, g := range t.groups {
		if key.benchmark == benchmark {
			m.RecordedNS += g.total.ns
			m.RecordedSamples += g.total.samples
			services = append(services, key.service)
		}
	}
	for key := range t.waiting.groups {
		if key.benchmark == benchmark && !slices.Contains(services, key.service) {
			services = append(services, key.service)
		}
	}
	m.setTime(document, o)
	slices.Sort(services)
	if len(services) > 1 && services[0] == "" {
		m.NoServiceNS = t.existing(groupKey{benchmark, ""}).total.ns
		services = services[1:]
	}
	var all []Bottleneck
	for _, service := range services {
		s, places := t.service(groupKey{benchmark, service}, m, o)
		m.Services = append(m.Services, s)
		all = append(all, places...)
	}
	return m, all
}

// service ranks one service in one benchmark.
func (t *Tally) service(key groupKey, m Measured, o Options) (Service, []Bottleneck) {
	g := t.existing(key)
	s := Service{
		Service: key.service, CPUNS: g.total.ns, Samples: g.total.samples, RecordedShare: ratio(g.total.ns, m.RecordedNS),
		Denominator: denominator(key), LostNS: g.lostNS, TruncatedNS: g.truncated.ns, NoStackNS: g.noStack.ns,
		Places: len(g.places), Bottlenecks: []Bottleneck{},
	}
	var places []Bottleneck
	for id, p := range g.places {
		if p.self.samples < o.MinSamples || p.self.ns == 0 {
			s.SuppressedPlaces++
			s.SuppressedNS += p.self.ns
			continue
		}
		places = append(places, t.bottleneck(key, id, m, o))
	}
	slices.SortFunc(places, func(a, b Bottleneck) int {
		return cmp.Or(cmp.Compare(b.SelfNS, a.SelfNS), compareNames(a, b))
	})
	s.Bottlenecks = append(s.Bottlenecks, places[:min(o.Top, len(places))]...)
	s.ByTime, s.Unranked = t.byTime(key, places, m, o)
	s.ByTime = s.ByTime[:min(o.Top, len(s.ByTime))]
	return s, places
}

// existing is a group, empty if nothing was sampled of it.
func (t *Tally) existing(key groupKey) *group {
	if g := t.groups[key]; g != nil {
		return g
	}
	return &group{}
}

// denominator names what shares in a group are shares of.
func denominator(key groupKey) string {
	text := "CPU time of " + key.service
	if key.service == "" {
		text = "CPU time of all recorded processes"
	}
	if key.benchmark == "" {
		return text + " in the recording"
	}
	return text + " during " + key.benchmark
}

func compareNames(a, b Bottleneck) int {
	return cmp.Or(
		strings.Compare(a.Benchmark, b.Benchmark), strings.Compare(a.Service, b.Service),
		strings.Compare(a.Function, b.Function), strings.Compare(a.Binary, b.Binary))
}

// Foremost returns the n foremost places of a service over all benchmarks, each
// function once, among those that Ranked shows.
func (r *Report) Foremost(service string, n int) []Bottleneck {
	var all []Bottleneck
	for i := range r.Ranked {
		for j := range r.Ranked[i].Services {
			if s := &r.Ranked[i].Services[j]; s.Service == service {
				all = append(all, s.Bottlenecks...)
			}
		}
	}
	return foremost(all, n)
}

// foremost orders the places of all services and benchmarks and returns the
// first n, each function of a service once.
func foremost(all []Bottleneck, n int) []Bottleneck {
	slices.SortFunc(all, func(a, b Bottleneck) int {
		return cmp.Or(cmp.Compare(urgency(a.Priority), urgency(b.Priority)),
			cmp.Compare(b.Share, a.Share), cmp.Compare(b.SelfNS, a.SelfNS), compareNames(a, b))
	})
	top := []Bottleneck{}
	for _, b := range all {
		i := slices.IndexFunc(top, func(o Bottleneck) bool {
			return o.Service == b.Service && o.Function == b.Function && o.Binary == b.Binary
		})
		switch {
		case i >= 0:
			top[i].AlsoIn = append(top[i].AlsoIn, Elsewhere{Benchmark: b.Benchmark, Share: b.Share, Interval: b.Interval})
		case len(top) < n:
			b.AlsoIn = []Elsewhere{}
			top = append(top, b)
		}
	}
	return top
}
