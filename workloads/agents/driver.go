package agents

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// queueDepth is the header in which a service may tell how many tasks waited.
const queueDepth = "X-Queue-Depth"

// fallback is who is asked where the service does not list its agents.
const fallback = "APEX"

// driver sends the tasks of one run and keeps what came of them.
//
// The warm-up sends each task twice and learns whether the service signs its answers
// with the agent's name and the task's digest, as the reference service does. If so, all
// answers have to be signed rightly, and a note tells where the two of a pair differ.
type driver struct {
	client *client
	tasks  tasks
	unlist error        // why the agents are not known
	signed bool         // the service signs its answers
	last   reply        // of the warm-up
	wavers string       // an agent that answered a task in two ways
	phases *load.Phases // nil in the warm-up

	mutex   sync.Mutex
	seen    map[int]observation
	samples *samples // empty until the run is over
}

// observation is what a request record has no place for.
type observation struct {
	way   way
	bytes int
	depth int
	told  bool // the service told the depth
}

func newDriver(c *client, seed uint64) *driver {
	return &driver{client: c, tasks: tasks{seed: seed}, seen: make(map[int]observation), samples: new(samples)}
}

// Measuring ends the warm-up.
func (d *driver) Measuring(phases *load.Phases) { d.phases = phases }

// Send performs one task.
func (d *driver) Send(ctx context.Context, index int) load.Exchange {
	if index < 0 {
		return d.warmUp(ctx, index)
	}
	t := d.tasks.task(index)
	d.phases.Enter(index, string(t.way))
	r := d.client.send(ctx, t)
	d.phases.Leave(index)
	d.check(t, &r)
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.seen[index] = observe(t, r)
	return r.Exchange
}

// warmUp sends a task of the warm-up: each pair in another way, and the last in two.
func (d *driver) warmUp(ctx context.Context, index int) load.Exchange {
	if d.tasks.agents == nil {
		if d.tasks.agents, d.unlist = d.client.agents(ctx); d.unlist != nil {
			d.tasks.agents = []string{fallback}
		}
	}
	pair := (index - 1) / 2 // -1 and -2 are one, -3 and -4, ...
	t := d.tasks.task(pair)
	t = task{agent: t.agent, way: invoke, text: t.text}
	switch {
	case pair == -2:
		t = d.tasks.sent(t, copilot)
	case index == -1 || pair == -3:
		t.way = stream
	}
	r := d.client.send(ctx, t)
	d.signed = d.signed || r.Outcome == metrics.OK && signature.MatchString(r.text)
	d.check(t, &r)
	if second := index%2 != 0; second && d.signed && r.Outcome == metrics.OK && d.last.Outcome == metrics.OK && r.text != d.last.text {
		d.wavers = t.agent
		r.fail(metrics.InvalidAnswer, fmt.Errorf("the same task has got two different answers from %s", t.agent))
	}
	d.last = r
	return r.Exchange
}

// signature begins an answer that names its agent and its task.
var signature = regexp.MustCompile(`^([A-Za-z0-9_]+) on task ([0-9a-f]{16}),`)

// check turns a whole answer to another task, or by another agent, into an invalid one.
// Of a service that does not sign its answers that cannot be told.
func (d *driver) check(t task, r *reply) {
	if r.Outcome != metrics.OK || !d.signed {
		return
	}
	switch found := signature.FindStringSubmatch(r.text); {
	case found == nil:
		r.fail(metrics.InvalidAnswer, fmt.Errorf("the answer is not signed as others of this service are: %.80q", r.text))
	case found[1] != t.agent || found[2] != t.digest():
		r.fail(metrics.InvalidAnswer, fmt.Errorf("the answer is by %s on task %s, asked was %s on task %s", found[1], found[2], t.agent, t.digest()))
	}
}

func observe(t task, r reply) observation {
	seen := observation{way: t.way, bytes: len(r.text)}
	if depth, err := strconv.ParseUint(r.header.Get(queueDepth), 10, 31); err == nil {
		seen.depth, seen.told = int(depth), true
	}
	return seen
}

// Fill sets the metrics.
func (d *driver) Fill(document *metrics.Document, result *load.Result) {
	d.samples = collect(result, d.seen)
	d.samples.fill(document, result)
	if d.unlist != nil {
		document.Notes = append(document.Notes, fmt.Sprintf("all tasks went to %s: %v", fallback, d.unlist))
	}
	if d.wavers != "" {
		document.Notes = append(document.Notes, fmt.Sprintf("in the warm-up the same task got two different answers, for example from %s", d.wavers))
	}
	if !d.signed {
		document.Notes = append(document.Notes, "the service does not say which task an answer belongs to: answers were checked for their form and for some content only")
	}
}

// Judge sets the target.
func (d *driver) Judge(document *metrics.Document) {
	document.JudgeQuantile(metrics.Target{Metric: "task_p99_ms", Comparison: "<", Value: 50, Unit: "ms"}, d.samples.task, d.samples.failures, 0.99)
}
