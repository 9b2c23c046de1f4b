package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// accounting shows how far the recording can be trusted.
func (m *document) accounting(d *Data) {
	s := d.Session
	m.heading(2, "Accounting and losses")
	if a := s.Accounting; a != nil {
		m.table([]markup{"CPU time of the machine", ">Value", ">Of expected"}, [][]markup{
			{"Expected: busy by the kernel's count", markup(cpuTime(a.Total.ExpectedNS)), ""},
			{"Seen by samples", markup(cpuTime(a.Total.SeenNS)), markup(percent(ratio(a.Total.SeenNS, a.Total.ExpectedNS)))},
			{"Lost", markup(lostTime(a.Total.LostNS)), markup(percent(ratio(max(a.Total.LostNS, 0), a.Total.ExpectedNS)))},
			{"Taken by the hypervisor (steal)", markup(cpuTime(a.Total.StealNS)), ""},
			{"Idle", markup(cpuTime(a.Total.IdleNS)), ""},
			{"Samples", markup(count(a.Total.Samples)), ""},
		})
	} else {
		m.paragraph("How much CPU time there was to see is unknown: session.json has no accounting.")
	}
	m.paragraph(text("Price: " + ownCost(d) + "."))

	m.heading(3, "Losses")
	var rows [][]markup
	for _, l := range s.Losses {
		if l.Count > 0 {
			rows = append(rows, []markup{text(l.Reason), markup(count(l.Count)), text(l.Where)})
		}
	}
	m.table([]markup{"Reason", ">Count", "Where"}, rows)
	if quiet := len(s.Losses) - len(rows); quiet > 0 {
		m.paragraph(markup(fmt.Sprintf("%s watched for did not occur.", plural(int64(quiet), "other reason"))))
	}

	m.heading(3, "How each signal was recorded")
	rows = nil
	for _, signal := range s.Signals {
		var tried []string
		for _, attempt := range signal.Tried {
			tried = append(tried, attempt.Backend+" ("+attempt.Error+")")
		}
		rows = append(rows, []markup{text(signal.Signal), text(signal.Backend), text(signal.Why), text(cmp.Or(strings.Join(tried, ", "), "nothing"))})
	}
	m.table([]markup{"Signal", "Backend", "Why", "Tried before"}, rows)
	m.binaries(s)
}

// maxBinaries is the number of binaries listed; session.json has all.
const maxBinaries = 10

// binaries shows how stacks and names of the busiest binaries came out.
func (m *document) binaries(s *session.Session) {
	m.heading(3, "Stacks and names by binary")
	unwinding := slices.SortedStableFunc(slices.Values(s.Unwinding), func(a, b session.Unwinding) int {
		return cmp.Compare(b.Complete+sum(b.Truncated), a.Complete+sum(a.Truncated))
	})
	var rows [][]markup
	for _, u := range unwinding[:min(maxBinaries, len(unwinding))] {
		all := u.Complete + sum(u.Truncated)
		rows = append(rows, []markup{code(u.File), markup(count(all)), markup(percent(ratio(u.Complete, all))), text(reasons(u.Truncated))})
	}
	m.table([]markup{"Binary", ">Stacks", ">Complete", "Truncated"}, rows)

	symbols := slices.SortedStableFunc(slices.Values(s.Symbols), func(a, b session.Symbols) int {
		return cmp.Compare(b.Named+sum(b.Unnamed), a.Named+sum(a.Unnamed))
	})
	rows = nil
	for _, y := range symbols[:min(maxBinaries, len(symbols))] {
		all := y.Named + sum(y.Unnamed)
		rows = append(rows, []markup{code(y.File), markup(count(all)), markup(percent(ratio(y.Named, all))), text(reasons(y.Unnamed))})
	}
	m.table([]markup{"Binary", ">Frames", ">Named", "Unnamed"}, rows)
	if rest := max(len(unwinding), len(symbols)) - maxBinaries; rest > 0 {
		m.paragraph(markup(fmt.Sprintf("%s more in session.json.", count(int64(rest)))))
	}
}

func sum(counts map[string]int64) int64 {
	var all int64
	for _, n := range counts {
		all += n
	}
	return all
}

// reasons lists counts by reason.
func reasons(counts map[string]int64) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, count(counts[reason])+" "+reason)
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// limitations lists what a reader of this report must not conclude from it.
func (m *document) limitations(d *Data) {
	m.heading(2, "Limitations of this recording")
	var items []markup
	if d.Ranking != nil {
		items = append(items, "Shares are of CPU time. Time that a service waits, for a lock, a disk or another service, is not in them, so a fix may change latency by less or by more than its share of CPU time.")
		items = append(items, rankingLimits(d.Ranking)...)
	}
	for i := range d.Metrics {
		items = append(items, benchmarkLimits(&d.Metrics[i])...)
	}
	if a := d.Session.Accounting; a != nil && ratio(a.Total.LostNS, a.Total.ExpectedNS) > 0.01 {
		items = append(items, markup(fmt.Sprintf("%s of the busy CPU time was not seen. If it was lost where one function runs, that function's share is too small.", percent(ratio(a.Total.LostNS, a.Total.ExpectedNS)))))
	}
	for _, warning := range d.Session.Warnings {
		items = append(items, markup("Warning: ")+text(warning)+".")
	}
	if len(items) == 0 {
		items = append(items, "None is known.")
	}
	m.list(items)
}

// rankingLimits says what the ranking rests on where that is thin.
func rankingLimits(r *rank.Report) []markup {
	var items []markup
	var wilson int
	for i := range r.Ranked {
		for j := range r.Ranked[i].Services {
			s := &r.Ranked[i].Services[j]
			if s.TruncatedNS > 0 {
				items = append(items, markup(fmt.Sprintf("Of the %s, %s has stacks that do not reach the root. The functions' own times are right, their callers may be missing.", text(s.Denominator), percent(ratio(s.TruncatedNS, s.CPUNS)))))
			}
			if s.NoStackNS > 0 {
				items = append(items, markup(fmt.Sprintf("Of the %s, %s has no stack at all and belongs to no function.", text(s.Denominator), percent(ratio(s.NoStackNS, s.CPUNS)))))
			}
			for _, b := range s.Bottlenecks {
				if b.Interval.Method == rank.WilsonOfSamples {
					wilson++
				}
			}
		}
	}
	if wilson > 0 {
		items = append(items, markup(fmt.Sprintf("The intervals of %s rest on samples taken as independent, because there are too few windows to see how a share varies. Neighbouring samples resemble each other, so these intervals are too narrow.", plural(int64(wilson), "share"))))
	}
	for _, lost := range r.Lost {
		items = append(items, markup(fmt.Sprintf("%s of CPU time (%s of seen and lost) was lost: %s.", cpuTime(lost.NS), percent(lost.Share), text(lost.Reason))))
	}
	if r.Outside.NS > 0 {
		items = append(items, markup(fmt.Sprintf("%s of CPU time (%s of what was seen) lies outside all benchmarks and is not ranked.", cpuTime(r.Outside.NS), percent(r.Outside.Share))))
	}
	return items
}

// benchmarkLimits says why a benchmark's values may not hold.
func benchmarkLimits(d *metrics.Document) []markup {
	var items []markup
	name := code(d.Benchmark)
	if d.Status != metrics.Complete {
		items = append(items, name+markup(" is ")+text(string(d.Status)+": "+known(d.StatusReason))+". Its values are no baseline.")
	}
	if d.TargetKind == "reference" {
		items = append(items, name+" drove the reference service of this project, not a service of yours.")
	}
	if failed := d.Iterations - d.N; failed > 0 {
		items = append(items, name+markup(fmt.Sprintf(": %s of %s requests gave no valid answer (%s). They are in no value.", count(int64(failed)), count(int64(d.Iterations)), text(failures(d)))))
	}
	for _, note := range d.Notes {
		items = append(items, name+": "+text(note)+".")
	}
	return items
}

// files lists what the session's folder holds.
func (m *document) files(d *Data) {
	m.heading(2, "Files")
	var rows [][]markup
	for _, f := range d.Listing.Files {
		if f.Name != FileName { // it is being written
			rows = append(rows, []markup{code(f.Name), markup(size(f.Bytes))})
		}
	}
	if d.Listing.WindowFiles > 0 {
		rows = append(rows, []markup{markup(fmt.Sprintf("%s (%s)", code("windows/"), plural(int64(d.Listing.WindowFiles), "file"))), markup(size(d.Listing.WindowBytes))})
	}
	m.table([]markup{"File", ">Size"}, rows)
}
