package collective

import (
	"strings"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

// MaxMentions is how many agents work on one task at most; those mentioned later are
// not asked.
const MaxMentions = 4

// Route returns the agents that a text mentions as @NAME, each once and in the order of
// their mention, or the one that the text is about. It is never empty.
func (c *Collective) Route(text string) []*Agent {
	var agents []*Agent
	for _, name := range parseMentions(text) {
		agent, known := c.Agent(name)
		if !known {
			continue // an address or somebody else's name
		}
		if agents = append(agents, agent); len(agents) == MaxMentions {
			break
		}
	}
	if len(agents) == 0 {
		agents = append(agents, c.bestMatch(text))
	}
	return agents
}

// parseMentions returns the names after an @ that begins a word, in upper case, each
// once.
func parseMentions(text string) []string {
	var names []string
	seen := make(map[string]bool)
	for at := strings.IndexByte(text, '@'); at >= 0 && at < len(text); {
		end := at + 1
		for end < len(text) && nameByte(text[end]) {
			end++
		}
		if name := strings.ToUpper(text[at+1 : end]); name != "" && !seen[name] && (at == 0 || !nameByte(text[at-1])) {
			seen[name] = true
			names = append(names, name)
		}
		next := strings.IndexByte(text[end:], '@')
		if next < 0 {
			break
		}
		at = end + next
	}
	return names
}

func nameByte(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// bestMatch returns the agent whose focus has the rarest words of a text, the first of
// the roster where none has any.
func (c *Collective) bestMatch(text string) *Agent {
	asked := make(map[knowledge.Term]bool)
	for _, term := range c.index.Terms(text, maxTerms) {
		asked[term] = true
	}
	best, highest := 0, 0.0
	for i := range c.agents {
		var score float64
		for _, term := range c.focus[i] {
			if asked[term] {
				score += c.index.Weight(term)
			}
		}
		if score > highest {
			best, highest = i, score
		}
	}
	return &c.agents[best]
}
