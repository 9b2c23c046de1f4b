package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

func terminalText(t testing.TB, d *Data, colour bool) string {
	t.Helper()
	var out bytes.Buffer
	must(t, Terminal(&out, d, colour))
	return out.String()
}

func markdownText(t testing.TB, d *Data) string {
	t.Helper()
	var out bytes.Buffer
	must(t, Markdown(&out, d))
	return out.String()
}

func TestTerminalSaysWhatWasFound(t *testing.T) {
	out := terminalText(t, record(t), false)
	for _, want := range []string{
		`ttft_p95_ms < 100 ms +142\.7 ms +138\.1 to 149\.9 ms \(95 %\) +missed`,
		`tokens_per_second > 50 tokens/s +51\.34 tokens/s +49\.6 to 53\.1 tokens/s \(95 %\) +undecided\n +because the interval holds 50 tokens/s`,
		`280 of 300 answers valid`,
		`a program of known split was off by 0\.4 points at most in 3,009 samples \(chance\s+explains 2\.6\)`,
		`the load generator itself adds 0\.2421 ms \(median\), 1\.096 ms \(99th percentile\) to each latency`,
		`what the load generator itself adds is unknown: the null server did not start`,
		`Top 3 of ryot by share of the benchmark's time`,
		`(?m)^   1  120\.0 %  llama\.\(\*Cache\)\.get +sync\.Mutex +llama\.\(\*Cache\)\.get$`,
		`(?m)^   2   64\.0 %  llama\.\(\*Model\)\.matmul +CPU +71\.1 %, forward\.go:10$`,
		`(?m)^   3   25\.0 %  llama\.\(\*Model\)\.attention +CPU `,
		`1 is CRITICAL: `, `cause: lock held across I/O: 100 % waiting for a disk, of what was done below`, `what not waiting there would bring is unknown: requests came on a schedule`,
		`FirstTokenLatencyBenchmark: 27\.0 s in 2,700 samples, 88\.2 % of all recorded; 1 not shown \(0\.6 %\)`,
		`(?m)^ +in TokenGenerationBenchmark, 46\.5 % in FirstTokenLatencyBenchmark$`,
		`Recorded 60\.0 s: 99\.6 % of the machine's 61\.4 s CPU time seen, 240\.0 ms lost; recording cost 1\.2 s\s+CPU time \(1\.0 % of the machine\), 86\.0 MiB`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the summary has nothing like %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("the summary is coloured though nobody asked")
	}
}

func TestColourAddsOnlyEscapes(t *testing.T) {
	d := record(t)
	coloured := terminalText(t, d, true)
	if !strings.Contains(coloured, "\x1b[31mmissed\x1b[0m") {
		t.Errorf("a missed target is not red:\n%q", coloured)
	}
	plain := regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(coloured, "")
	if diff := cmp.Diff(terminalText(t, d, false), plain); diff != "" {
		t.Errorf("without its colours (-plain +coloured):\n%s", diff)
	}
}

func TestMarkdownHoldsEveryPart(t *testing.T) {
	d := record(t)
	data, err := os.ReadFile(filepath.Join(d.Session.Dir(), FileName))
	must(t, err)
	out := string(data)
	for _, want := range []string{
		"## Executive summary", "## Host and versions", "## Baselines against targets", "## Hotspots by service",
		"## Bottlenecks by CPU time, most urgent first", "## Accounting and losses", "## Limitations of this recording", "## Files",
		"| `FirstTokenLatencyBenchmark` | ryot | `ttft_p95_ms` | &lt; 100 ms | 142.7 ms | 138.1 to 149.9 ms (95 %) | 280 | **missed** |",
		"| `FirstTokenLatencyBenchmark` | `ttft_p99_ms` | unknown | unknown | a p99 needs 299 answers, there are 280 |",
		"| `FirstTokenLatencyBenchmark` | 0.061 ms, 0.42 ms | 0.012 cores | 0.2421 ms (median), 1.096 ms (99th percentile) | 150 requests/s | 0.067 cores |",
		"| `TokenGenerationBenchmark` | 0 ms, 0 ms | 0.000 cores | unknown | unknown | unknown | the null server did not start |",
		"## How sure the instrument is", "| CPU split | third | 30.0 % | 30.4 % | +0.4 | up to 2.6 | 3,009 | within chance |",
		"| callers of leaves | stacks with the caller | 100.0 % | 0.0 % | -100.0 | up to 1.0 | 900 | beyond chance |",
		"| price of a tick | eBPF program | - | 2.8 us | - | - | 6,000 | measured |",
		"### 1. CRITICAL: `" + module + "(*Model).matmul`",
		"`" + module + "(*Model).Forward` in 100.0 % of its time",
		"go tool pprof -symbolize=none -sample_index=cpu -relative_percentages -tagfocus='^benchmark:FirstTokenLatencyBenchmark$,^service:ryot$' -peek=",
		"| Lost | 240.0 ms | 0.4 % |", "| missed ticks | 24 | CPU 0 and 1 |",
		"- `FirstTokenLatencyBenchmark`: the service gave no token count for 3 of 280 answers; their content chunks were counted.",
		"20 of 300 requests gave no valid answer (20 timeout)",
		"| `session.json` |", "| `windows/` (15 files) |",
		"Foremost by the benchmark's time: `" + module + "(*Cache).get`, 120.0 % of the time that FirstTokenLatencyBenchmark ran, sync.Mutex, let go by `" + module + "(*Cache).get`. Cause: lock held across I/O",
		"| `" + module + "(*Cache).get` | sync.Mutex | 120.0 % | `" + module + "(*Cache).get` 100.0 % | lock held across I/O: 100 % waiting for a disk, of what was done below",
		"| `" + module + "(*Model).matmul` | CPU | 46.5 % |", "with 36.0 s in 120 waits. Its most frequent stack, 100.0 % of that time, innermost function first:",
		"-sample_index=delay -relative_percentages -tagfocus='^benchmark:FirstTokenLatencyBenchmark$,^service:ryot$' -peek=",
		"Waits that are in no place: 90.0 s (idle: threads and goroutines with nothing to do).",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	checkTables(t, out)
	for _, name := range []string{"bottleneck_report.json", "profiles/ryot.json"} {
		if _, err := os.Stat(filepath.Join(d.Session.Dir(), name)); err != nil {
			t.Errorf("%s was not written: %v", name, err)
		}
	}
}

// checkTables fails if a row has not as many cells as its table's header.
func checkTables(t testing.TB, out string) {
	t.Helper()
	cells := 0
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		n := strings.Count(line, "|") - strings.Count(line, `\|`)
		if cells == 0 {
			cells = n
		}
		if n != cells {
			t.Errorf("a row has %d cell ends, its header %d: %s", n, cells, line)
		}
	}
}

func TestReportIsTheSameWhenReadBack(t *testing.T) {
	d := record(t)
	s, err := session.Open(d.Session.Dir())
	must(t, err)
	again, err := Load(s)
	must(t, err)
	// The report itself is not in the list of files that it prints.
	if diff := cmp.Diff(markdownText(t, d), markdownText(t, again)); diff != "" {
		t.Errorf("read back (-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(terminalText(t, d, false), terminalText(t, again, false)); diff != "" {
		t.Errorf("read back (-first +again):\n%s", diff)
	}
}

func TestUnknownIsPrintedAsUnknown(t *testing.T) {
	w, err := session.Create(filepath.Join(t.TempDir(), "s"), session.Info{Start: start})
	must(t, err)
	must(t, w.Finish(t.Context(), session.Outcome{Status: session.Failed, Reason: "the target was not reachable"}, session.Summary{}))
	s, err := session.Open(w.Path())
	must(t, err)
	d, err := Judge(s, rank.Options{})
	must(t, err)
	if _, err := s.ReadFile(rank.FileName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a session without samples was ranked: %v", err)
	}
	for _, want := range []string{"failed: the target was not reachable", "No benchmark ran.", "No CPU profile was recorded.", "| CPUs online | unknown |", "| Duration | unknown |", "what the recording cost is unknown", "session.json has no accounting"} {
		if !strings.Contains(markdownText(t, d), want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if out := terminalText(t, d, false); !strings.Contains(out, "how much of the CPU time was seen is unknown") || !strings.Contains(out, "the session is failed: the target was not reachable") {
		t.Errorf("the summary says:\n%s", out)
	}
}

func TestRecordingWithoutBenchmarks(t *testing.T) {
	d := record(t)
	d.Metrics = nil
	d.Ranking.Ranked = d.Ranking.Ranked[:1]
	d.Ranking.Ranked[0].Benchmark, d.Ranking.Ranked[0].Services[0].Service = "", ""
	if out := terminalText(t, d, false); !strings.HasPrefix(out, "Where CPU time went\n  CPU time of all recorded processes: 27.0 s in 2,700 samples") || !strings.Contains(out, "; recording cost 1.2 s") {
		t.Errorf("the summary begins:\n%s", out)
	}
}

// hostile are names that try to leave their place in a report.
var hostile = []string{
	"a|b|c", "`code` ``more``", "`", "line\nbreak\r\n# heading", "<script>alert(1)</script>", "&lt;b&gt;", "![x](http://example.org/x.png)", "[link](javascript:x)",
	"\x1b[2J\x1b]0;title\x07", "right\u202eto left", "zero\u200bwidth", "\xff\xfe invalid", "back\\slash\\|pipe", "*bold* _it_ ~~x~~", "<!-- comment", "```\n```sh\nrm -rf", " ", "", strings.Repeat("long", 200),
	"a  b", "日本語の関数",
}

// planted puts name wherever a session's text is printed.
func planted(t testing.TB, d *Data, name string) *Data {
	t.Helper()
	s := *d.Session
	s.Host = session.Host{Hostname: name, Kernel: name, Machine: name}
	s.NarrowsVersion, s.Reason, s.Status = name, name, session.Failed
	s.CommandLine = []string{name}
	s.Warnings = []string{name}
	s.Calibration = []session.Check{{Name: name, What: name, Unit: name, Reason: name, Verdict: session.CheckVerdict(name), Values: []session.CheckValue{session.NewCheckValue(name, 1, 2, 3), session.NewCheckValue(name, 1, 2, 3)}}}
	s.Losses = []session.Loss{{Reason: name, Count: 1, Where: name}}
	s.Services = []session.Service{{Name: name, URL: name, TargetKind: name}}
	s.Signals = []session.Signal{{Signal: name, Backend: name, Why: name, Tried: []session.Attempt{{Backend: name, Error: name}}}}
	s.Unwinding = []session.Unwinding{{File: name, Complete: 1, Truncated: map[string]int64{name: 1}}}
	s.Symbols = []session.Symbols{{File: name, Named: 1, Unnamed: map[string]int64{name: 1}}}
	m := documents()[0]
	m.Benchmark, m.Service, m.StatusReason, m.TargetKind, m.Status = name, name, name, name, metrics.Status(name)
	m.Errors = map[string]int{name: 1}
	m.Metrics = map[string]*float64{name: pointer(1), "other" + name: nil}
	m.Unavailable = map[string]string{"other" + name: name}
	m.Targets = []metrics.Target{{Metric: name, Comparison: name, Unit: name, Verdict: metrics.Verdict(name), Reason: name}}
	m.Load.Generator, m.Load.GeneratorUnknown = nil, name
	m.Load.Model, m.Notes = name, []string{name}
	ranking := *d.Ranking
	b := ranking.Top[0]
	b.Function, b.Binary, b.File, b.Benchmark, b.Service, b.Title, b.PriorityReason, b.Priority = name, name, name, name, name, name, name, rank.Priority(name)
	b.Payoff.Of, b.Payoff.Statement, b.Interval.Method = name, name, rank.Method(name)
	b.Callers = []rank.Caller{{Function: name}}
	b.Phases = []rank.Phase{{Phase: name}}
	b.AlsoIn = []rank.Elsewhere{{Benchmark: name}}
	b.Stacks = []rank.Stack{{Functions: []string{name, name}}}
	b.Evidence = name
	ranking.Compared = name
	e := ranking.Ranked[0].Services[0].ByTime[0]
	e.Benchmark, e.Service, e.Signal, e.What, e.Function, e.Binary, e.Lock, e.Of = name, name, rank.Signal(name), name, name, name, name, name
	e.Cause, e.CauseReason, e.PriorityReason, e.Priority, e.Evidence, e.HeldBasis = name, name, name, rank.Priority(name), name, name
	e.Holders, e.Held, e.Unavailable = []rank.Part{{What: name}}, []rank.Part{{What: name}}, map[string]string{"payoff": name}
	e.AlsoIn = []rank.EntryElsewhere{{Benchmark: name}}
	ranking.Top = []rank.Bottleneck{b}
	ranking.Lost = []rank.Lost{{Reason: name}}
	ranking.Ranked = []rank.Measured{{Benchmark: name, VerdictReason: name, TimeDenominator: name, Services: []rank.Service{{Service: name, Denominator: name, TruncatedNS: 1, NoStackNS: 1, SuppressedPlaces: 1, Bottlenecks: []rank.Bottleneck{b}, ByTime: []rank.Entry{e}, Unranked: []rank.Unranked{{Reason: name, NS: 1}}}}}}
	return &Data{Session: &s, Metrics: []metrics.Document{m}, Ranking: &ranking, Listing: session.Listing{Files: []session.FileInfo{{Name: name}}}}
}

func TestNamesCannotLeaveTheirPlace(t *testing.T) {
	d := record(t)
	reference := structure(markdownText(t, planted(t, d, "plain")))
	for _, name := range hostile {
		checkSafe(t, planted(t, d, name), name, reference)
	}
}

func FuzzNames(f *testing.F) {
	d := record(f)
	reference := structure(markdownText(f, planted(f, d, "plain")))
	for _, name := range hostile {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) { checkSafe(t, planted(t, d, name), name, reference) })
}

// structure is the first sign of each line outside code blocks: what makes
// headings, lists, tables and blocks.
func structure(out string) string {
	var b strings.Builder
	fence := ""
	for line := range strings.Lines(out) {
		sign, _, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		switch {
		case fence != "":
			if strings.TrimRight(line, "\n") == fence {
				fence = ""
				b.WriteString("end of block\n")
			}
			continue
		case strings.HasPrefix(line, "```"):
			fence = line[:len(line)-len(strings.TrimLeft(line, "`"))]
			sign = "block"
		case !regexp.MustCompile(`^(#+|-|\|)$`).MatchString(sign):
			sign = "text"
		}
		b.WriteString(sign + "\n")
	}
	return b.String()
}

func checkSafe(t testing.TB, d *Data, name, reference string) {
	t.Helper()
	out := markdownText(t, d)
	if len(name) > 0 && strings.TrimSpace(name) != "" { // an empty name leaves some lines out
		if diff := cmp.Diff(reference, structure(out)); diff != "" {
			t.Errorf("%q changes the report's structure (-plain +hostile):\n%s", name, diff)
		}
	}
	checkTables(t, out)
	checkPrintable(t, out, name)
	// Outside code nothing may be HTML, an image or a link.
	bare := regexp.MustCompile("(?s)(`{3,})[a-z]*\n.*?\n`{3,}\n").ReplaceAllString(out, "")
	for line := range strings.Lines(bare) {
		line = withoutCodeSpans(line)
		if regexp.MustCompile(`^([-+*=]|\d+[.)])([ \t\n]|[-+*=]*$)`).MatchString(strings.TrimPrefix(line, "- ")) {
			t.Errorf("%q starts a list or a heading: %s", name, line)
		}
		if strings.ContainsAny(line, "<>") || regexp.MustCompile(`(^|[^\\])(\\\\)*[\[\]]`).MatchString(line) {
			t.Errorf("%q gets out of its quotes: %s", name, line)
		}
	}
	summary := terminalText(t, d, false)
	checkPrintable(t, summary, name)
	for line := range strings.Lines(summary) {
		if n := utf8.RuneCountInString(line) - 1; n > columns {
			t.Errorf("%q makes a line of %d columns: %s", name, n, line)
		}
	}
}

// withoutCodeSpans drops code spans as CommonMark finds them: a run of
// backticks up to the next run of the same length, backslashes escaping
// backticks only outside.
func withoutCodeSpans(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); {
		if line[i] == '\\' && i+1 < len(line) {
			b.WriteString(line[i : i+2])
			i += 2
			continue
		}
		run := len(line[i:]) - len(strings.TrimLeft(line[i:], "`"))
		if run == 0 {
			b.WriteByte(line[i])
			i++
			continue
		}
		i += run
		for i < len(line) {
			end := len(line[i:]) - len(strings.TrimLeft(line[i:], "`"))
			i += max(end, 1)
			if end == run {
				break
			}
		}
	}
	return b.String()
}

func checkPrintable(t testing.TB, out, name string) {
	t.Helper()
	for line := range strings.Lines(out) {
		if line = strings.TrimSuffix(line, "\n"); clean(line) != line {
			t.Errorf("%q leaves unprintable characters: %q", name, line)
		}
	}
}

func TestCalibrationIsPrinted(t *testing.T) {
	var out bytes.Buffer
	must(t, Calibration(&out, record(t).Session.Calibration))
	for _, want := range []string{
		`(?m)^CPU split: a program counts its own time$`,
		`(?m)^  third +30\.0 % +30\.4 % +\+0\.4 +up to 2\.6$`,
		`(?m)^  3,009 samples; within chance$`,
		`(?m)^  900 samples; WARNING: beyond chance: none was seen$`,
		`(?m)^  eBPF program +- +2\.8 us +- +-$`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("nothing like %q in\n%s", want, out.String())
		}
	}
}

// A compression ratio is never shown without whether the texts came back.
func TestRatiosAreQualified(t *testing.T) {
	for _, test := range []struct {
		trip     *metrics.RoundTrip
		terminal string
		markdown string
	}{
		{metrics.NewRoundTrip(400, 400, ""), "  lossless: true (400 of 400 texts came back as they were)\n", "3.039:1, lossless: true"},
		{metrics.NewRoundTrip(400, 399, ""), "  lossless: false (399 of 400 texts came back as they were)\n", "3.039:1, lossless: false"},
		{metrics.NewRoundTrip(0, 0, "the service does not decode"), "  lossless: unverified (the service does not decode)\n", "3.039:1, lossless: unverified"},
	} {
		d := record(t)
		m := &d.Metrics[0]
		m.RoundTrip = test.trip
		m.Metrics["compression_ratio"], m.Metrics["compression_ratio_code"] = pointer(3.0391), pointer(3.0391)
		m.Targets = []metrics.Target{{Metric: "compression_ratio", Comparison: ">", Value: 3, Unit: ":1", Verdict: metrics.Met, Reason: "it is"}}
		if out := terminalText(t, d, false); !strings.Contains(out, test.terminal) || !regexp.MustCompile(`compression_ratio > 3:1 +3\.039:1 `).MatchString(out) {
			t.Errorf("%s:\n%s", test.trip, out)
		}
		out := markdownText(t, d)
		for line := range strings.Lines(out) {
			if strings.Contains(line, "3.039") && !strings.Contains(line, test.markdown) {
				t.Errorf("%s: %s", test.trip, line)
			}
		}
		// Once as a target, once among the others, and once in the summary.
		if n := strings.Count(out, test.markdown); n != 3 {
			t.Errorf("%s: shown %d times:\n%s", test.trip, n, out)
		}
	}
}

// Benchmarks come in the order in which they ran, whatever their names are.
func TestBenchmarksAreInTheOrderInWhichTheyRan(t *testing.T) {
	s := record(t).Session
	first := documents()[0]
	first.Timestamp = first.Timestamp.Add(time.Minute) // it becomes the last
	f, err := s.Create("metrics/" + first.Benchmark + ".json")
	must(t, err)
	must(t, json.NewEncoder(f).Encode(first))
	must(t, f.Close())
	d, err := Judge(s, rank.Options{})
	must(t, err)
	if got := []string{d.Ranking.Ranked[0].Benchmark, d.Ranking.Ranked[1].Benchmark}; got[0] != "TokenGenerationBenchmark" || got[1] != first.Benchmark {
		t.Errorf("ranked are %q", got)
	}
	for kind, text := range map[string]string{"terminal": terminalText(t, d, false), "markdown": markdownText(t, d)} {
		if a, b := strings.Index(text, "TokenGenerationBenchmark"), strings.Index(text, first.Benchmark); a < 0 || b < a {
			t.Errorf("%s: the first benchmark is at %d, the second at %d:\n%s", kind, a, b, text)
		}
	}
}
