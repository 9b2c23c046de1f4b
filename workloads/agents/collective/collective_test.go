package collective

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

func assemble(t testing.TB) *Collective {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRoster(t *testing.T) {
	c := assemble(t)
	domains := make(map[string]int)
	names := make(map[string]bool)
	for i, agent := range c.Agents() {
		domains[agent.Domain]++
		names[agent.Codename] = true
		if !regexp.MustCompile(`^[A-Z]{3,12}$`).MatchString(agent.Codename) || agent.Role == "" || agent.Steps < 1 || agent.Steps > len(c.facets) {
			t.Errorf("%+v", agent)
		}
		if want := len(strings.Fields(agent.Focus)) + 1; len(c.focus[i]) < want-1 {
			t.Errorf("%s: of the focus %q only %d words are known", agent.Codename, agent.Focus, len(c.focus[i]))
		}
		if found, ok := c.Agent(strings.ToLower(agent.Codename)); !ok || found.Codename != agent.Codename {
			t.Errorf("%s is not found by its name", agent.Codename)
		}
	}
	if len(names) != 36 || len(domains) != 12 || c.Agents()[0].Codename != "APEX" {
		t.Errorf("%d names in %d domains", len(names), len(domains))
	}
	for _, f := range c.facets {
		if len(f.terms) < 3 {
			t.Errorf("of the words of %q only %d are known", f.title, len(f.terms))
		}
	}
}

func TestParseMentions(t *testing.T) {
	for text, want := range map[string]string{
		"@APEX help":                      "APEX",
		"help @apex, @Lens and @APEX!":    "APEX LENS",
		"mail joe@example.com @LENS":      "LENS",
		"@":                               "",
		"@@APEX":                          "APEX",
		"(@a_b-c)@D":                      "A_B-C D",
		"a@b@c @d":                        "D",
		"":                                "",
		"\xff@APEX\xfe@LENS@":             "APEX LENS",
		strings.Repeat("@x ", 1000) + "@": "X",
	} {
		if got := strings.Join(parseMentions(text), " "); got != want {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
}

func TestRoute(t *testing.T) {
	c := assemble(t)
	for text, want := range map[string]string{
		"@LENS and @weaver, please":                               "LENS WEAVER",
		"@nobody @everyone @APEX":                                 "APEX",
		"@SILO @LEDGER @APEX @LENS @LOOM":                         "SILO LEDGER APEX LENS",
		"Is the rotation of a secret key in order?":               "LOCKSMITH",
		"Threads wait for a lock, although we shard it.":          "WEAVER",
		"the quantile of a histogram of latency has a heavy tail": "SEISMO",
		"xyzzy": "APEX",
		"":      "APEX",
	} {
		var names []string
		for _, agent := range c.Route(text) {
			names = append(names, agent.Codename)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q went to %q, want %q", text, got, want)
		}
	}
}

const problem = "The workers of our chat server wait for one lock. The queue grows under load, and the log writes each line. Find what to change first."

// Each agent has an answer of its own to a task, always the same, and its steps follow
// its plan.
func TestAgentsAnswer(t *testing.T) {
	c := assemble(t)
	options := knowledge.Options{Candidates: 100}
	used, fresh := c.NewRanker(options), c.NewRanker(options)
	answers := make(map[string]string)
	for i := range c.Agents() {
		agent := &c.Agents()[i]
		draft, err := c.Work(t.Context(), used, agent, problem)
		if err != nil {
			t.Fatal(err)
		}
		text := draft.Compose()
		head, steps, _ := strings.Cut(text, "\n")
		if want := fmt.Sprintf("%s on task %s, as %s:", agent.Codename, Digest(problem), agent.Role); head != want {
			t.Errorf("the answer begins with %q, want %q", head, want)
		}
		if got := strings.Count(steps, "\n"); got != agent.Steps || len(draft.Advice) != agent.Steps {
			t.Errorf("%s: %d steps, want %d:\n%s", agent.Codename, got, agent.Steps, text)
		}
		for n, advice := range draft.Advice {
			if want := c.facets[(agent.First+n)%len(c.facets)].title; advice.Step != want || advice.Text == "" || advice.Score <= 0 {
				t.Errorf("%s, step %d: %+v, want %s", agent.Codename, n+1, advice, want)
			}
		}
		if other, dup := answers[steps]; dup {
			t.Errorf("%s and %s say the same", agent.Codename, other)
		}
		answers[steps] = agent.Codename
		again, err := c.Work(t.Context(), fresh, agent, problem)
		if err != nil || again.Compose() != text {
			t.Errorf("%s, %v: another answer to the same task:\n%s\n%s", agent.Codename, err, text, again.Compose())
		}
	}
}

// The advice rests on passages that have something to do with the task.
func TestAdviceIsAboutTheTask(t *testing.T) {
	c := assemble(t)
	agent, _ := c.Agent("WEAVER")
	draft, err := c.Work(t.Context(), c.NewRanker(knowledge.Options{Candidates: 300}), agent, problem)
	if err != nil {
		t.Fatal(err)
	}
	var techniques []string
	for _, advice := range draft.Advice {
		techniques = append(techniques, advice.Technique)
	}
	for _, want := range []string{"sharded lock", "worker pool"} {
		if !slices.Contains(techniques, want) {
			t.Errorf("%v is without %s", techniques, want)
		}
	}
	if distinct := len(slices.Compact(slices.Sorted(slices.Values(techniques)))); distinct < len(techniques)-1 {
		t.Errorf("techniques repeat: %v", techniques)
	}
}

func TestNothingKnown(t *testing.T) {
	c := assemble(t)
	draft := &Draft{Agent: &c.Agents()[0], Digest: Digest("")}
	if got := draft.Compose("A note."); !strings.Contains(got, "Nothing is known") || !strings.HasSuffix(got, "A note.\n") {
		t.Errorf("%q", got)
	}
	// Even a task of unknown words has the agent's own ones to search by.
	worked, err := c.Work(t.Context(), c.NewRanker(knowledge.Options{Candidates: 10}), &c.Agents()[0], "xyzzy")
	if err != nil || len(worked.Advice) == 0 {
		t.Errorf("%+v, %v", worked, err)
	}
}

func TestWorkEndsWithItsContext(t *testing.T) {
	c := assemble(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the client has left")
	cancel(why)
	if _, err := c.Work(ctx, c.NewRanker(knowledge.Options{Candidates: 10}), &c.Agents()[0], problem); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}

// A huge task costs no more than its beginning.
func TestHugeTasksAreBounded(t *testing.T) {
	c := assemble(t)
	for _, text := range []string{strings.Repeat("lock queue memory ", 50_000), strings.Repeat("Lock. ", 50_000)} {
		for _, s := range c.planSteps(&c.Agents()[0], text) {
			if len(s.query.Terms) > 2*maxTerms {
				t.Errorf("%d terms", len(s.query.Terms))
			}
		}
	}
}

// FuzzRoute takes any text: there is always somebody to ask, at most four, each once.
func FuzzRoute(f *testing.F) {
	for _, text := range []string{"@APEX help", "@a@b @LENS", "lock @", "\xff@\xfe", strings.Repeat("@LENS@SILO", 5)} {
		f.Add(text)
	}
	c := assemble(f)
	f.Fuzz(func(t *testing.T, text string) {
		agents := c.Route(text)
		seen := make(map[*Agent]bool)
		for _, agent := range agents {
			seen[agent] = true
		}
		if len(agents) < 1 || len(agents) > MaxMentions || len(seen) != len(agents) {
			t.Fatalf("%q went to %d agents", text, len(agents))
		}
	})
}
