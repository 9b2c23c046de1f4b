package collective

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

// maxTerms bounds how much of a text is understood: the terms after it are not read.
// What a task costs grows with their number.
const maxTerms = 256

// Collective is the agents with what they know. Any number of goroutines may use it.
type Collective struct {
	index  *knowledge.Index
	agents []Agent
	byName map[string]*Agent
	focus  [][]knowledge.Term // by agent
	facets []facet
}

// New loads the knowledge and the agents.
func New() (*Collective, error) {
	index, err := knowledge.Load()
	if err != nil {
		return nil, fmt.Errorf("loading the knowledge of the collective: %w", err)
	}
	c := &Collective{index: index, agents: roster(), byName: make(map[string]*Agent), facets: facets(index)}
	for i := range c.agents {
		agent := &c.agents[i]
		c.byName[agent.Codename] = agent
		c.focus = append(c.focus, index.Terms(agent.Focus+" "+agent.Domain, maxTerms))
	}
	return c, nil
}

// NewRanker returns what one goroutine needs to work on tasks.
func (c *Collective) NewRanker(o knowledge.Options) *knowledge.Ranker {
	return knowledge.NewRanker(c.index, o)
}

// Agents returns all agents in the order of the roster.
func (c *Collective) Agents() []Agent { return c.agents }

// Agent returns the agent of a name, upper and lower case alike.
func (c *Collective) Agent(name string) (*Agent, bool) {
	agent, known := c.byName[strings.ToUpper(name)]
	return agent, known
}

// Digest tells tasks apart: the first 16 hexadecimal digits of the text's SHA-256.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
