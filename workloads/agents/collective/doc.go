// Package collective is a group of agents, each with a name, a domain and a way of
// working, that answer tasks from a collection of engineering knowledge. It computes
// and does nothing else: the same task given to the same agent has the same answer.
//
// [New] loads the collection. [Collective.Route] chooses agents for a text, by the
// names mentioned in it or by what it is about; [Collective.Work] plans steps, ranks
// passages for each and gives a [Draft]; [Draft.Compose] writes the answer, which names
// the agent and the [Digest] of the task, so that whoever asked can check it.
package collective
