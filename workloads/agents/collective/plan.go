package collective

import "github.com/narrows-profiler/narrows/workloads/agents/knowledge"

// facet is one kind of step that a plan may have.
type facet struct {
	title string
	terms []knowledge.Term
}

// facets are all kinds, in the order of a whole plan.
func facets(index *knowledge.Index) []facet {
	var list []facet
	for _, f := range [][2]string{
		{"Understand", "know question evidence difference shows"},
		{"Measure", "measure count before after cost"},
		{"Contain", "limit bound refuse overload slow"},
		{"Change", "replace split keep let give"},
		{"Verify", "test compare check input thousands"},
		{"Protect", "secret hostile right crash promised"},
		{"Deliver", "version release share back plan"},
		{"Watch", "production rare tail report daily"},
		{"Learn", "next mistake history rehearse old"},
	} {
		list = append(list, facet{f[0], index.Terms(f[1], maxTerms)})
	}
	return list
}

// step is one search of a plan.
type step struct {
	title string
	query knowledge.Query
}

// considered is how many passages a step looks at for its advice: enough that they are
// of several techniques.
const considered = 256

// planSteps makes an agent's steps for a task: each is about the whole task, stresses
// one of its sentences, and asks for one facet with the agent's own words.
func (c *Collective) planSteps(agent *Agent, text string) []step {
	whole := c.index.Terms(text, maxTerms)
	sentences := knowledge.Sentences(text)
	focus := c.index.Terms(agent.Focus, maxTerms)
	steps := make([]step, 0, agent.Steps)
	for i := range agent.Steps {
		f := c.facets[(agent.First+i)%len(c.facets)]
		terms := append(append(append([]knowledge.Term(nil), whole...), focus...), f.terms...)
		if len(sentences) > 0 {
			terms = append(terms, c.index.Terms(sentences[i%len(sentences)], maxTerms)...)
		}
		steps = append(steps, step{f.title, knowledge.Query{
			Terms: terms[:min(len(terms), 2*maxTerms)], Domain: agent.Domain, Limit: considered,
		}})
	}
	return steps
}
