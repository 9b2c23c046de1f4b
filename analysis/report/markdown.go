package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// Markdown prints the consolidated report of a session in GitHub Flavored
// Markdown.
func Markdown(w io.Writer, d *Data) error {
	var m document
	m.heading(1, "Consolidated profiling report")
	m.summary(d)
	m.host(d.Session)
	m.baselines(d)
	m.hotspots(d)
	m.ranking(d)
	m.memory(d)
	m.calibration(d.Session)
	m.accounting(d)
	m.limitations(d)
	m.files(d)
	_, err := m.WriteTo(w)
	return err
}

// summary says in a few lines what the rest shows.
func (m *document) summary(d *Data) {
	m.heading(2, "Executive summary")
	var items []markup
	for i := range d.Metrics {
		items = append(items, benchmarkSentence(&d.Metrics[i]))
	}
	if d.Ranking != nil && len(d.Ranking.Top) > 0 {
		b := &d.Ranking.Top[0]
		items = append(items, markup(fmt.Sprintf("Foremost bottleneck, %s: %s used %s of the %s (%.0f %% interval %s, %s). Amdahl's bound: %s.",
			text(string(b.Priority)), code(b.Function), percent(b.Share), text(b.Payoff.Of), 100*b.Interval.Confidence, span(b.Interval), plural(b.Samples, "sample"), text(b.Payoff.Statement))))
	} else {
		items = append(items, "No bottleneck is named: there are too few CPU samples, or none.")
	}
	if e := d.foremostByTime(); e != nil {
		item := markup(fmt.Sprintf("Foremost by the benchmark's time: %s, %s of the %s, %s", code(e.Function), percent(e.TimeShare), text(known(e.Of)), text(known(e.What))))
		if len(e.Holders) > 0 {
			item += markup(", let go by ") + code(e.Holders[0].What)
		}
		items = append(items, item+markup(". Cause: ")+text(known(e.Cause)+", "+known(e.CauseReason)+"."))
	}
	items = append(items, text("Trust: "+seen(d)+"; "+ownCost(d)+"."))
	if s := d.Session; s.Status != session.Complete {
		items = append(items, markup("**The session is "+text(string(s.Status)+": "+known(s.Reason))+".** What follows describes the part that was recorded."))
	}
	m.list(items)
}

// foremostByTime is the place with the largest share of its benchmark's time, nil if there is
// none.
func (d *Data) foremostByTime() *rank.Entry {
	var first *rank.Entry
	if d.Ranking == nil {
		return nil
	}
	for i := range d.Ranking.Ranked {
		for j := range d.Ranking.Ranked[i].Services {
			if list := d.Ranking.Ranked[i].Services[j].ByTime; len(list) > 0 && (first == nil || list[0].TimeShare > first.TimeShare) {
				first = &list[0]
			}
		}
	}
	return first
}

// benchmarkSentence is a benchmark's outcome in one sentence.
func benchmarkSentence(d *metrics.Document) markup {
	sentence := code(d.Benchmark) + markup(": ") + text(string(worst(d)))
	switch {
	case d.Status != metrics.Complete:
		sentence += markup(", because the run is ") + text(string(d.Status)+": "+known(d.StatusReason))
	case len(d.Targets) == 0:
		sentence += ", because it has no target"
	default:
		var parts []string
		for i := range d.Targets {
			r := result{d, d.Targets[i].Metric, &d.Targets[i]}
			parts = append(parts, string(code(r.metric)+" is "+text(r.qualified())+", target "+text(r.target.Comparison+" "+withUnit(number(r.target.Value), r.target.Unit))))
		}
		sentence += markup("; " + strings.Join(parts, "; "))
	}
	return sentence + markup(fmt.Sprintf(" (%s of %s answers valid).", count(int64(d.N)), count(int64(d.Iterations))))
}

// host says what was measured where and with what.
func (m *document) host(s *session.Session) {
	m.heading(2, "Host and versions")
	rows := [][]markup{
		{"Host", text(known(s.Host.Hostname))},
		{"Kernel", text(known(s.Host.Kernel) + ", " + known(s.Host.Machine))},
		{"CPUs online", text(positive(int64(s.Host.CPUsOnline), count))},
		{"Memory", text(positive(int64(min(s.Host.MemoryBytes, 1<<62)), size))},
		{"Narrows", text(known(s.NarrowsVersion))},
		{"Start", text(s.Start.UTC().Format(time.RFC3339))},
		{"Duration", text(duration(s.Duration()))},
		{"Command line", code(commandLine(s.CommandLine))},
	}
	for _, service := range s.Services {
		rows = append(rows, []markup{markup("Service ") + code(service.Name), text(serviceLine(service))})
	}
	m.table([]markup{"", "Value"}, rows)
}

// serviceLine says what a service was; a reference service has an address of its own
// choosing, which is of no use afterwards.
func serviceLine(s session.Service) string {
	line := fmt.Sprintf("%s, process %d", known(s.TargetKind), s.PID)
	if s.URL != "" {
		line += ", " + s.URL
	}
	return line
}

// positive prints a number, or "unknown" where it is none.
func positive(n int64, format func(int64) string) string {
	if n <= 0 {
		return "unknown"
	}
	return format(n)
}

// baselines shows what the benchmarks measured.
func (m *document) baselines(d *Data) {
	m.heading(2, "Baselines against targets")
	if len(d.Metrics) == 0 {
		m.paragraph("No benchmark ran.")
		return
	}
	m.paragraph("A target is met or missed only if the whole interval lies on one side of it. n is the number of valid answers behind a value.")
	var rows [][]markup
	for _, r := range d.targets() {
		rows = append(rows, []markup{code(r.document.Benchmark), text(known(r.document.Service)), code(r.metric),
			text(r.target.Comparison + " " + withUnit(number(r.target.Value), r.target.Unit)),
			text(r.qualified()), text(r.interval()), markup(count(int64(r.document.N))), markup("**") + text(string(r.target.Verdict)) + "**", text(r.why())})
	}
	m.table([]markup{"Benchmark", "Service", "Metric", "Target", ">Value", ">Interval", ">n", "Verdict", "Why"}, rows)

	m.trips(d)

	m.heading(3, "Other measurements")
	rows = nil
	for _, r := range d.others() {
		rows = append(rows, []markup{code(r.document.Benchmark), code(r.metric), text(r.qualified()), text(r.interval()), text(r.why())})
	}
	m.table([]markup{"Benchmark", "Metric", ">Value", ">Interval", "Why unknown"}, rows)

	m.heading(3, "How the load was made")
	rows = nil
	for i := range d.Metrics {
		o := &d.Metrics[i]
		rows = append(rows, []markup{code(o.Benchmark), text(known(string(o.Status))), text(known(o.Load.Model)),
			text(positiveNumber(o.Load.RatePerSecond, "/s")), text(positiveNumber(float64(o.Load.Concurrency), "")),
			markup(count(int64(o.Load.WarmupRequests))), text(positiveNumber(o.Load.DurationSeconds, "s")), text(failures(o))})
	}
	m.table([]markup{"Benchmark", "Status", "Arrivals", ">Rate", ">Concurrency", ">Warm-up requests", ">Duration", "Failed requests"}, rows)
	m.generators(d)
}

// generators shows how well the load generator kept to its schedule, and what it
// adds to latencies by itself.
func (m *document) generators(d *Data) {
	m.heading(3, "What the load generator itself adds")
	m.paragraph("Lateness is that of this run's sends. The rest was measured after it: the same code sent requests to a server that answers at once. The network between them and that server's own work are in it, so it is an upper bound. 1 core is a CPU that is busy all the time; the generator is a process of its own, and its CPU time is no part of what the recording cost.")
	var rows [][]markup
	for i := range d.Metrics {
		l := &d.Metrics[i].Load
		row := []markup{code(d.Metrics[i].Benchmark),
			text(withUnit(number(l.OwnLateP50Ms), "ms") + ", " + withUnit(number(l.OwnLateP99Ms), "ms")), text(cores(l.GeneratorCPURatio))}
		if own := l.Generator; own != nil {
			row = append(row, text(addition(own)), text(closedOr(own.Concurrency, own.RatePerSecond)), text(cores(own.CPURatio)), "")
		} else {
			row = append(row, "unknown", "unknown", "unknown", text(known(l.GeneratorUnknown)))
		}
		rows = append(rows, row)
	}
	m.table([]markup{"Benchmark", ">Late (median, 99th percentile)", ">CPU", ">Added", ">At", ">CPU at that rate", "Why unknown"}, rows)
}

func cores(ratio float64) string { return fmt.Sprintf("%.3f cores", ratio) }

// closedOr names the load of a closed loop, or else that of an open one.
func closedOr(concurrency int, rate float64) string {
	if concurrency > 0 {
		return fmt.Sprintf("%s at a time", count(int64(concurrency)))
	}
	return withUnit(number(rate), "requests/s")
}

// trips says of each benchmark of compression whether the texts came back.
func (m *document) trips(d *Data) {
	var items []markup
	for i := range d.Metrics {
		if trip := d.Metrics[i].RoundTrip; trip != nil {
			items = append(items, code(d.Metrics[i].Benchmark)+markup(": lossless: ")+text(trip.String()))
		}
	}
	if len(items) > 0 {
		m.list(items)
	}
}

func positiveNumber(v float64, unit string) string {
	if v <= 0 {
		return "not set"
	}
	return withUnit(number(v), unit)
}

// failures lists a benchmark's errors by kind.
func failures(d *metrics.Document) string {
	var parts []string
	for kind, n := range d.Errors {
		parts = append(parts, fmt.Sprintf("%s %s", count(int64(n)), kind))
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// hotspots shows where each service's CPU time went.
func (m *document) hotspots(d *Data) {
	m.heading(2, "Hotspots by service")
	if d.Ranking == nil {
		m.paragraph("No CPU profile was recorded.")
		return
	}
	m.paragraph(markup(fmt.Sprintf("Shares are of time that a function used itself; within one table they add up. Functions with fewer than %s are counted, not shown.", plural(d.Ranking.MinSamples, "sample"))))
	for i := range d.Ranking.Ranked {
		r := &d.Ranking.Ranked[i]
		for j := range r.Services {
			m.service(d.Ranking, r, &r.Services[j])
		}
		if len(r.Services) == 0 {
			m.paragraph(markup("No CPU sample was taken during ") + code(r.Benchmark) + ".")
		}
	}
}

// service shows one service's functions in one benchmark.
func (m *document) service(ranking *rank.Report, r *rank.Measured, s *rank.Service) {
	m.heading(3, text(s.Denominator))
	m.paragraph(markup(fmt.Sprintf("%s in %s: %s of the %s that all recorded processes used in that time.", cpuTime(s.CPUNS), plural(s.Samples, "sample"), percent(s.RecordedShare), cpuTime(r.RecordedNS))))
	var rows [][]markup
	for i := range s.Bottlenecks {
		b := &s.Bottlenecks[i]
		rows = append(rows, []markup{code(b.Function), code(where(b)), markup(percent(b.Share)), markup(span(b.Interval)), markup(count(b.Samples)), markup(percent(b.RecordedShare)), text(string(b.Interval.Method))})
	}
	m.entries(r, s)
	m.table([]markup{"Function", "Where", ">Share", markup(fmt.Sprintf(">%.0f %% interval", 100*ranking.Confidence)), ">Samples", ">Of all recorded", "Interval's method"}, rows)
	m.paragraph(markup(fmt.Sprintf("%s seen; %s with too few samples not shown, %s together.", plural(int64(s.Places), "function"), count(int64(s.SuppressedPlaces)), percent(ratio(s.SuppressedNS, s.CPUNS)))))
}

// entries shows what a service computed and waited for, by share of the benchmark's time.
func (m *document) entries(r *rank.Measured, s *rank.Service) {
	if len(s.ByTime) == 0 {
		return
	}
	m.paragraph(markup(fmt.Sprintf("Top %d by share of the benchmark's time:", len(s.ByTime))), text(known(r.TimeDenominator)+"."))
	var rows [][]markup
	for i := range s.ByTime {
		e := &s.ByTime[i]
		holder := markup("")
		if len(e.Holders) > 0 {
			holder = code(e.Holders[0].What) + markup(" "+percent(e.Holders[0].Share))
		}
		rows = append(rows, []markup{code(e.Function), text(known(e.What)), markup(percent(e.TimeShare)), holder,
			text(known(e.Cause) + ": " + known(e.CauseReason)), text(entryPayoff(e)), text(string(e.Priority))})
	}
	m.table([]markup{"Function", "What", ">Of the time", "Let go, or ended, by", "Cause", "Payoff", "Priority"}, rows)
	if i := slices.IndexFunc(s.ByTime, func(e rank.Entry) bool { return e.Signal != rank.CPU && e.Signal != rank.Heap }); i >= 0 {
		m.waiting(&s.ByTime[i])
	}
	if i := slices.IndexFunc(s.ByTime, func(e rank.Entry) bool { return e.Signal == rank.Heap }); i >= 0 {
		m.takesMemory(&s.ByTime[i])
	}
	var rest []string
	for _, u := range s.Unranked {
		rest = append(rest, fmt.Sprintf("%s (%s)", cpuTime(u.NS), u.Reason))
	}
	if len(rest) > 0 {
		m.paragraph("Waits that are in no place:", text(strings.Join(rest, "; ")+"."))
	}
	m.paragraph("By CPU time alone:")
}

// waiting shows the evidence of a place that waits.
func (m *document) waiting(e *rank.Entry) {
	if len(e.Stacks) > 0 {
		m.paragraph("Of those that wait the foremost is", code(e.Function), markup(fmt.Sprintf("with %s in %s. Its most frequent stack, %s of that time, innermost function first:", cpuTime(e.NS), plural(e.Count, "wait"), percent(e.Stacks[0].Share))))
		m.block("text", slices.Clone(e.Stacks[0].Functions))
	}
	m.paragraph("To see where it waited, in the session's folder:")
	m.block("sh", []string{e.Evidence})
}

// takesMemory shows the evidence of a place that takes memory.
func (m *document) takesMemory(e *rank.Entry) {
	if len(e.Stacks) > 0 {
		m.paragraph("Of those that take memory the foremost is", code(e.Function), markup(fmt.Sprintf("with %s of CPU time. Its most frequent stack, %s of what was sampled below it, innermost function first:", cpuTime(e.NS), percent(e.Stacks[0].Share))))
		m.block("text", slices.Clone(e.Stacks[0].Functions))
	}
	m.paragraph("To see what it calls, in the session's folder:")
	m.block("sh", []string{e.Evidence})
}

// ranking shows the foremost bottlenecks with their evidence.
func (m *document) ranking(d *Data) {
	m.heading(2, "Bottlenecks by CPU time, most urgent first")
	if d.Ranking == nil || len(d.Ranking.Top) == 0 {
		m.paragraph("None: no function has enough CPU samples.")
		return
	}
	m.paragraph("**Order.**", text(d.Ranking.Compared))
	for i := range d.Ranking.Top {
		m.bottleneck(i+1, &d.Ranking.Top[i])
	}
	m.paragraph("Effort, risk and ROI are unknown: they are declared by people, and none was declared.")
}

func (m *document) bottleneck(n int, b *rank.Bottleneck) {
	m.heading(3, markup(fmt.Sprintf("%d. %s: %s", n, text(string(b.Priority)), code(b.Function))))
	items := []markup{
		markup(fmt.Sprintf("Share: %s of the %s, %.0f %% interval %s (%s), from %s.", percent(b.Share), text(b.Payoff.Of), 100*b.Interval.Confidence, span(b.Interval), text(string(b.Interval.Method)), plural(b.Samples, "sample"))),
		markup("Where: ") + code(source(b)) + markup(" in ") + code(known(b.Binary)) + ".",
		markup("Payoff: ") + text(b.Payoff.Statement) + ".",
		markup("Priority: ") + text(string(b.Priority)+", because "+b.PriorityReason) + ".",
	}
	for _, c := range b.Callers {
		items = append(items, markup(fmt.Sprintf("Called by %s in %s of its time.", code(c.Function), percent(c.Share))))
	}
	for _, p := range b.Phases {
		if p.Phase != "" {
			items = append(items, markup(fmt.Sprintf("Phase %s: %s of the service's CPU time in that phase (%s).", code(p.Phase), percent(p.Share), plural(p.Samples, "sample"))))
		}
	}
	for _, e := range b.AlsoIn {
		items = append(items, markup(fmt.Sprintf("Also in %s: %s (%s).", code(e.Benchmark), percent(e.Share), span(e.Interval))))
	}
	m.list(items)
	if len(b.Stacks) > 0 {
		m.paragraph(markup(fmt.Sprintf("Its most frequent stack, %s of its time, innermost function first:", percent(b.Stacks[0].Share))))
		m.block("text", slices.Clone(b.Stacks[0].Functions))
	}
	m.paragraph("To see it, in the session's folder:")
	m.block("sh", []string{b.Evidence})
}
