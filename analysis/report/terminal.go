package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// columns is the width that a summary fits into.
const columns = 100

// terminal prints a summary line by line.
type terminal struct {
	w      io.Writer
	colour bool
	err    error
}

// Terminal prints the summary of a session as plain text of at most 100
// columns: each benchmark against its targets, then the places of each service
// that hold it back most, then what was lost and what the recording cost. With
// colour, verdicts are coloured by ANSI escapes.
func Terminal(w io.Writer, d *Data, colour bool) error {
	t := &terminal{w: w, colour: colour}
	for i := range d.Metrics {
		t.benchmark(&d.Metrics[i])
		t.line("")
	}
	switch {
	case d.Ranking == nil:
		t.line("CPU time: not recorded")
		t.line("")
	default:
		t.places(d)
	}
	t.footer(d)
	return t.err
}

// line prints one line, its end trimmed.
func (t *terminal) line(format string, arguments ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, strings.TrimRight(fmt.Sprintf(format, arguments...), " "))
	}
}

// wrapped prints a sentence, broken between words; further lines are indented
// by two more.
func (t *terminal) wrapped(indent, text string) { t.hanging(indent, "", text) }

// hanging is wrapped with something in front of the first line, below which the others
// are indented.
func (t *terminal) hanging(indent, front, text string) {
	line := indent + front
	begun := false
	for word := range strings.FieldsSeq(clean(text)) {
		word = shorten(word, columns-utf8.RuneCountInString(indent+front)-2)
		if begun && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
			t.line("%s", line)
			line = indent + strings.Repeat(" ", utf8.RuneCountInString(front)) + "  "
			begun = false
		}
		if begun {
			line += " "
		}
		line += word
		begun = true
	}
	t.line("%s", line)
}

// pad prints text in a column of the given width.
func pad(text string, width int) string {
	text = shorten(clean(text), width)
	return text + strings.Repeat(" ", width-utf8.RuneCountInString(text))
}

// padLeft is pad for numbers.
func padLeft(text string, width int) string {
	text = shorten(clean(text), width)
	return strings.Repeat(" ", width-utf8.RuneCountInString(text)) + text
}

// benchmark prints a benchmark's outcome.
func (t *terminal) benchmark(m *metrics.Document) {
	t.wrapped("", fmt.Sprintf("%s: %s (%s), %s of %s answers valid, %s", m.Benchmark, known(m.Service), known(m.TargetKind), count(int64(m.N)), count(int64(m.Iterations)), known(string(m.Status))))
	if m.StatusReason != "" {
		t.wrapped("  ", m.StatusReason)
	}
	defer t.generator(m)
	if m.RoundTrip != nil {
		t.wrapped("  ", "lossless: "+m.RoundTrip.String())
	}
	if len(m.Targets) == 0 {
		t.line("  no target")
		return
	}
	t.line("  %s %s %s %s", pad("target", 33), pad("value", 16), pad("interval", 34), "verdict")
	for i := range m.Targets {
		r := result{m, m.Targets[i].Metric, &m.Targets[i]}
		t.line("  %s %s %s %s", pad(r.goal(), 33), pad(r.value(), 16), pad(r.interval(), 34), t.verdict(r.target.Verdict))
		if r.target.Verdict == metrics.Undecided || m.Metrics[r.metric] == nil {
			t.wrapped("    ", "because "+known(r.why()))
		}
	}
}

// generator prints what the load generator added by itself, where that was asked.
func (t *terminal) generator(m *metrics.Document) {
	switch own := m.Load.Generator; {
	case own != nil:
		t.wrapped("  ", "the load generator itself adds "+addition(own)+" to each latency")
	case m.Load.GeneratorUnknown != "":
		t.wrapped("  ", "what the load generator itself adds is unknown: "+m.Load.GeneratorUnknown)
	}
}

// goal prints a target, such as "ttft_p95_ms < 100 ms".
func (r result) goal() string {
	return fmt.Sprintf("%s %s %s", r.metric, r.target.Comparison, withUnit(number(r.target.Value), r.target.Unit))
}

// verdict colours a verdict.
func (t *terminal) verdict(v metrics.Verdict) string {
	text := shorten(clean(string(v)), 12)
	codes := map[metrics.Verdict]string{metrics.Met: "32", metrics.Missed: "31", metrics.Undecided: "33"}
	if code := codes[v]; t.colour && code != "" {
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	return text
}

// footer prints what was lost, what the recording cost, and its warnings.
func (t *terminal) footer(d *Data) {
	s := d.Session
	t.wrapped("", fmt.Sprintf("Recorded %s: %s; %s", duration(s.Duration()), seen(d), ownCost(d)))
	if sure := sureness(s); sure != "" {
		t.wrapped("  ", sure)
	}
	if s.Reason != "" {
		t.wrapped("", fmt.Sprintf("the session is %s: %s", s.Status, s.Reason))
	}
	for _, warning := range s.Warnings {
		t.wrapped("", "warning: "+warning)
	}
}

// seen says how much of the machine's CPU time the samples stand for.
func seen(d *Data) string {
	a := d.Session.Accounting
	if a == nil {
		return "how much of the CPU time was seen is unknown"
	}
	return fmt.Sprintf("%s of the machine's %s CPU time seen, %s lost", percent(ratio(a.Total.SeenNS, a.Total.ExpectedNS)), cpuTime(a.Total.ExpectedNS), lostTime(a.Total.LostNS))
}

// ownCost says what the recording took from the machine.
func ownCost(d *Data) string {
	c := d.Session.OwnCost
	if c == nil {
		return "what the recording cost is unknown"
	}
	cpu := c.CPUUserSeconds + c.CPUSystemSeconds + c.EBPFRunSeconds
	text := fmt.Sprintf("recording cost %s CPU time", cpuTime(int64(cpu*1e9)))
	if all := d.Session.Duration().Seconds() * float64(d.Session.Host.CPUsOnline); all > 0 {
		text += fmt.Sprintf(" (%s of the machine)", percent(cpu/all))
	}
	return text + ", " + size(c.PeakMemoryBytes)
}
