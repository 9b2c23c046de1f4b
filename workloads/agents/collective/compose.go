package collective

import (
	"context"
	"fmt"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

// Draft is what an agent found out about a task.
type Draft struct {
	Agent  *Agent
	Digest string
	Advice []Advice
}

// Advice is one step of a plan with the passage that it rests on.
type Advice struct {
	Step, Text, Technique, Setting string
	Score                          float64
}

// Work performs a task as one agent. The error is the context's.
func (c *Collective) Work(ctx context.Context, ranker *knowledge.Ranker, agent *Agent, text string) (*Draft, error) {
	draft := &Draft{Agent: agent, Digest: Digest(text)}
	used := make(map[string]bool)
	for _, s := range c.planSteps(agent, text) {
		hits, err := ranker.RankPassages(ctx, s.query)
		if err != nil {
			return nil, fmt.Errorf("%s ranking passages: %w", agent.Codename, err)
		}
		if advice, ok := c.advise(s, hits, used); ok {
			draft.Advice = append(draft.Advice, advice)
		}
	}
	return draft, nil
}

// advise picks the sentence to say at a step: of the best passage whose technique no
// earlier step used, the one with the rarest words of the query.
func (c *Collective) advise(s step, hits []knowledge.Hit, used map[string]bool) (Advice, bool) {
	if len(hits) == 0 {
		return Advice{}, false
	}
	chosen := hits[0]
	for _, hit := range hits {
		if !used[c.index.Passage(hit.Passage).Technique] {
			chosen = hit
			break
		}
	}
	p := c.index.Passage(chosen.Passage)
	used[p.Technique] = true
	return Advice{s.title, c.bestSentence(p.Advice, s.query.Terms), p.Technique, p.Setting, chosen.Score}, true
}

// bestSentence returns the sentence whose words in common with the query are worth
// most, for its length.
func (c *Collective) bestSentence(sentences []string, query []knowledge.Term) string {
	asked := make(map[knowledge.Term]bool, len(query))
	for _, term := range query {
		asked[term] = true
	}
	best, highest := sentences[0], -1.0
	for _, sentence := range sentences {
		terms := c.index.Terms(sentence, maxTerms)
		var worth float64
		for _, term := range terms {
			if asked[term] {
				worth += c.index.Weight(term)
			}
		}
		if worth /= float64(len(terms) + 4); worth > highest {
			best, highest = sentence, worth
		}
	}
	return best
}

// Compose writes the answer: a line with the agent and the task's digest, the steps,
// and the notes.
func (d *Draft) Compose(notes ...string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s on task %s, as %s:\n", d.Agent.Codename, d.Digest, d.Agent.Role)
	for i, a := range d.Advice {
		fmt.Fprintf(&text, "%d. %s: %s (%s, as for %s; %.2f)\n", i+1, a.Step, a.Text, a.Technique, a.Setting, a.Score)
	}
	if len(d.Advice) == 0 {
		text.WriteString("Nothing is known about this.\n")
	}
	for _, note := range notes {
		text.WriteString(note + "\n")
	}
	return text.String()
}
