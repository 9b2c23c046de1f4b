package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

// Both ways to count what searches find come to the same table, whoever reports at once.
func TestTalliesAgree(t *testing.T) {
	index, err := knowledge.Load()
	if err != nil {
		t.Fatal(err)
	}
	const found = 40
	tables := map[string][]*standing{}
	for name, kept := range map[string]tally{"league table": newLeagueTable(index), "counters": new(counters)} {
		var searches sync.WaitGroup
		for search := range 4 {
			searches.Go(func() {
				for i := range found {
					for range (i*7 + search) % 5 {
						kept.report(index.Passage(i*7), telling)
						kept.report(index.Passage(1), telling-1)
					}
				}
			})
		}
		searches.Wait()
		tables[name] = kept.standings()
	}
	want, got := tables["counters"], tables["league table"]
	if len(want) != len(got) || len(want) != found {
		t.Fatalf("%d and %d passages of %d", len(got), len(want), found)
	}
	for place := range want {
		if got[place].times != want[place].times || got[place].before(want[place]) != 0 {
			t.Errorf("place %d: %+v, counted %+v", place, *got[place], *want[place])
		}
	}
}

// The service counts while it works and says at its end what was found.
func TestFindingsAreLogged(t *testing.T) {
	var logs []string
	for _, text := range []string{unbufferedFindings, unbufferedFindings + "=fixed"} {
		o := DefaultOptions()
		o.Plant, o.Log = text, filepath.Join(t.TempDir(), "log")
		c, end, err := o.config()
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, c)
		for range 3 {
			s.text("/copilot", "@LENS @SILO "+question)
		}
		s.stop()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, findings(t, o.Log))
	}
	if logs[0] != logs[1] || strings.Count(logs[0], "\n") != 5 || !strings.Contains(logs[0], `"place":1,"times":`) {
		t.Errorf("with the fault\n%s\nwith its fix\n%s", logs[0], logs[1])
	}
}

// findings are the lines of a log about what was found, without their time.
func findings(t *testing.T, name string) string {
	t.Helper()
	written, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(written)) {
		if _, found, is := strings.Cut(line, `"msg":"found",`); is {
			out.WriteString(found)
		}
	}
	return out.String()
}
