package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// shownPlaces is how many places of a service are printed.
const shownPlaces = 3

// places prints where CPU time went: by service over the benchmarks that are printed
// above, then what belongs to none of them.
func (t *terminal) places(d *Data) {
	printed := func(m *rank.Measured) bool {
		return slices.ContainsFunc(d.Metrics, func(o metrics.Document) bool { return o.Benchmark == m.Benchmark })
	}
	var seen []string
	for i := range d.Ranking.Ranked {
		m := &d.Ranking.Ranked[i]
		if !printed(m) {
			continue
		}
		if len(m.Services) == 0 {
			t.wrapped("", fmt.Sprintf("CPU time of %s: no sample was taken", known(m.Benchmark)))
			t.line("")
		}
		for j := range m.Services {
			if name := m.Services[j].Service; !slices.Contains(seen, name) {
				seen = append(seen, name)
				t.service(d.Ranking, name)
				t.leaks(d.Memory, name)
				t.line("")
			}
		}
	}
	for i := range d.Ranking.Ranked {
		if m := &d.Ranking.Ranked[i]; !printed(m) {
			t.alone(d.Ranking, m)
		}
	}
}

// service prints the foremost places of a service, each below its benchmark.
func (t *terminal) service(r *rank.Report, name string) {
	entries := r.ForemostByTime(name, shownPlaces)
	top := r.Foremost(name, shownPlaces)
	if len(entries) > 0 {
		t.wrapped("", fmt.Sprintf("Top %d of %s by share of the benchmark's time: seconds of computing or waiting for each second, 100 %% for each thread that does nothing else", shownPlaces, serviceName(name)))
	} else {
		t.wrapped("", fmt.Sprintf("Top %d of %s by the CPU time that functions used themselves; they need %s to be shown", shownPlaces, serviceName(name), plural(r.MinSamples, "sample")))
	}
	benchmarks := 0
	for i := range r.Ranked {
		m := &r.Ranked[i]
		j := slices.IndexFunc(m.Services, func(s rank.Service) bool { return s.Service == name })
		if j < 0 {
			continue
		}
		benchmarks++
		s := &m.Services[j]
		t.wrapped("  ", fmt.Sprintf("%s: %s; %s", known(m.Benchmark), used(s), unshown(s)))
	}
	if len(entries) > 0 {
		t.entries(r, entries, benchmarks > 1)
		return
	}
	if len(top) > 0 {
		t.header(r)
	}
	for i := range top {
		t.place(i+1, &top[i])
		if benchmarks > 1 {
			t.wrapped("              ", fmt.Sprintf("in %s%s", known(top[i].Benchmark), elsewhere(&top[i])))
		}
	}
	if len(top) > 0 {
		t.foremost(&top[0])
	}
}

// entries prints places that compute or wait, one line each, and why the first one is
// there.
func (t *terminal) entries(r *rank.Report, list []rank.Entry, several bool) {
	t.line("     %s  %s %s  %s", padLeft("time", 8), pad("function", 33), pad("what", 14), "let go by; its share, where; bytes")
	for i := range list {
		e := &list[i]
		t.line("  %2d %s  %s %s  %s", i+1, padLeft(percent(e.TimeShare), 8), pad(brief(e.Function), 33), pad(e.What, 14), shorten(clean(aside(r, e)), 35))
		if several {
			text := "in " + known(e.Benchmark)
			for _, o := range e.AlsoIn {
				text += fmt.Sprintf(", %s in %s", percent(o.TimeShare), known(o.Benchmark))
			}
			t.wrapped("               ", text)
		}
	}
	first := &list[0]
	t.wrapped("     ", fmt.Sprintf("1 is %s: %s", first.Priority, first.PriorityReason))
	if first.Signal != rank.CPU {
		t.wrapped("     ", fmt.Sprintf("cause: %s: %s", first.Cause, first.CauseReason))
	}
	t.wrapped("     ", entryPayoff(first))
}

// entryPayoff says what mending a place could bring at most.
func entryPayoff(e *rank.Entry) string {
	if e.Payoff == nil {
		return "what not waiting there would bring is unknown: " + known(e.Unavailable["payoff"])
	}
	return e.Payoff.Statement
}

// aside says who let go what a place waits for, or what share of the service's CPU time it
// has, and where.
func aside(r *rank.Report, e *rank.Entry) string {
	if len(e.Holders) > 0 {
		return brief(e.Holders[0].What)
	}
	if e.Signal == rank.Heap {
		return taken(e.Memory)
	}
	if e.Signal != rank.CPU {
		return ""
	}
	for i := range r.Ranked {
		for j := range r.Ranked[i].Services {
			for k := range r.Ranked[i].Services[j].Bottlenecks {
				b := &r.Ranked[i].Services[j].Bottlenecks[k]
				if b.Benchmark == e.Benchmark && b.Service == e.Service && b.Function == e.Function && b.Binary == e.Binary {
					return percent(b.Share) + ", " + where(b)
				}
			}
		}
	}
	return ""
}

// taken says how much memory a place took, as far as that is known.
func taken(m *rank.Memory) string {
	var list []string
	if m != nil && m.AllocatedBytes > 0 {
		list = append(list, memory.Megabytes(m.AllocatedBytes)+" allocated")
	}
	if m != nil && m.ResidentBytes > 0 {
		list = append(list, memory.Megabytes(m.ResidentBytes)+" resident")
	}
	return strings.Join(list, ", ")
}

// elsewhere says what share a place has in other benchmarks.
func elsewhere(b *rank.Bottleneck) string {
	var text strings.Builder
	for _, e := range b.AlsoIn {
		fmt.Fprintf(&text, ", %s in %s", percent(e.Share), known(e.Benchmark))
	}
	return text.String()
}

// alone prints the services of a part of a recording that no benchmark's outcome
// stands for.
func (t *terminal) alone(r *rank.Report, m *rank.Measured) {
	if m.Benchmark == "" {
		t.line("Where CPU time went")
	} else {
		t.line("%s", shorten(clean(m.Benchmark), columns))
		t.wrapped("  ", "target: "+m.VerdictReason)
	}
	if len(m.Services) == 0 {
		t.line("  CPU time: no sample was taken")
	}
	for i := range m.Services {
		s := &m.Services[i]
		t.wrapped("  ", fmt.Sprintf("CPU time of %s: %s; %s for fewer than %s", serviceName(s.Service), used(s), unshown(s), plural(r.MinSamples, "sample")))
		if len(s.Bottlenecks) == 0 {
			continue
		}
		t.header(r)
		for j := range s.Bottlenecks {
			t.place(j+1, &s.Bottlenecks[j])
		}
		t.foremost(&s.Bottlenecks[0])
	}
	t.line("")
}

func serviceName(name string) string {
	if name == "" {
		return "all recorded processes"
	}
	return name
}

// used says how much CPU time a service used in a benchmark.
func used(s *rank.Service) string {
	text := fmt.Sprintf("%s in %s", cpuTime(s.CPUNS), plural(s.Samples, "sample"))
	if s.Service != "" {
		text += fmt.Sprintf(", %s of all recorded", percent(s.RecordedShare))
	}
	return text
}

// unshown says how many functions have too few samples to be ranked.
func unshown(s *rank.Service) string {
	if s.SuppressedPlaces == 0 {
		return "all shown"
	}
	return fmt.Sprintf("%s not shown (%s)", count(int64(s.SuppressedPlaces)), percent(ratio(s.SuppressedNS, s.CPUNS)))
}

// header prints what the columns of places are.
func (t *terminal) header(r *rank.Report) {
	t.line("     %s  %s %s  %s %s", padLeft("share", 7), padLeft(fmt.Sprintf("%.4g %% interval", 100*r.Confidence), 16), padLeft("samples", 9), pad("function", 34), "where")
}

// place prints one line of a place.
func (t *terminal) place(n int, b *rank.Bottleneck) {
	t.line("  %2d %s  %s %s  %s %s", n, padLeft(percent(b.Share), 7), padLeft(span(b.Interval), 16), padLeft(count(b.Samples), 9), pad(brief(b.Function), 34), shorten(clean(where(b)), 23))
}

// foremost says more of the first place.
func (t *terminal) foremost(b *rank.Bottleneck) {
	t.wrapped("     ", fmt.Sprintf("1 is %s: %s", b.Priority, b.PriorityReason))
	t.wrapped("     ", fmt.Sprintf("making it free saves at most %s of this CPU time%s", percent(b.Payoff.SavingAtMost), timesFaster(b.Payoff)))
}

// timesFaster prints the bound of a speed-up where there is one.
func timesFaster(p rank.Payoff) string {
	if p.SpeedupAtMost == nil {
		return ""
	}
	return fmt.Sprintf(", a speed-up of at most %.2f times", *p.SpeedupAtMost)
}

// brief drops the folders of a Go import path from a function's name:
// "example.org/a/b.(*T).f" becomes "b.(*T).f".
func brief(function string) string {
	end := strings.IndexAny(function, "([")
	if end < 0 {
		end = len(function)
	}
	slash := strings.LastIndexByte(function[:end], '/')
	if slash < 0 || strings.ContainsFunc(function[:slash], func(r rune) bool { return strings.ContainsRune(" :<>&*,", r) }) {
		return function
	}
	return function[slash+1:]
}
