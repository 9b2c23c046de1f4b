package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
)

// A leak is told below its service's places, and in the report before what is just in use.
func TestLeaksAreTold(t *testing.T) {
	d := record(t)
	leak := memory.LivePlace{
		Verdict: memory.Leak, Why: "it grows", Function: "example.org/a/server.(*log).keep", Service: "ryot", Process: "narrows", PID: 4242,
		Functions: []string{"runtime.makeslice", "example.org/a/server.(*log).keep"},
		Live:      session.MemoryEstimate{Bytes: 12_000_000, LowBytes: 11_000_000, HighBytes: 13_000_000, Objects: 1},
		Growth:    &memory.Growth{Seconds: 9, Bytes: 8_000_000}, Age: &memory.Age{OldestSeconds: 11, MedianSeconds: 5},
	}
	cache := leak
	cache.Verdict, cache.Function, cache.Growth, cache.Age = memory.Steady, "a|cache", nil, nil
	other := leak
	other.Service = "agents"
	d.Memory = &memory.Document{Sites: []memory.LivePlace{leak, leak, leak, leak, other, cache}, Omitted: memory.Omitted{Sites: 2, Bytes: 3_000_000}}
	var printed, page bytes.Buffer
	must(t, Terminal(&printed, d, false))
	must(t, Markdown(&page, d))
	const want = "     leak: server.(*log).keep: 12 MB (11 to 13) in 1 block live, 8 MB more in the last 9 s, as\n       steadily at the end as before\n"
	if got := printed.String(); strings.Count(got, want) != shownLeaks || !strings.Contains(got, "more leaks are in memory.json") {
		t.Errorf("printed\n%s", got)
	}
	for _, want := range []string{
		"## Memory that lived at the end", "| `example.org/a/server.(*log).keep` | `runtime.makeslice < server.(*log).keep` | ryot |",
		"11 s, half of the bytes 5 s", "steady: it grows | unknown |", "2 places more hold 3 MB; see memory.json.",
	} {
		if !strings.Contains(strings.ReplaceAll(page.String(), `\`, ""), want) {
			t.Errorf("no %q in the report:\n%s", want, page.String())
		}
	}
}

func TestNothingIsSaidOfMemoryThatWasNotRecorded(t *testing.T) {
	var page bytes.Buffer
	must(t, Markdown(&page, record(t)))
	if strings.Contains(page.String(), "Memory that lived") {
		t.Error("the report tells of memory")
	}
}
