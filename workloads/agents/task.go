package agents

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
)

// way is how a task is sent; it is the phase's name as well.
type way string

const (
	invoke  way = "invoke"
	copilot way = "copilot"
	stream  way = "stream"
)

// plainName is what a codename has to be to go into a path and a mention.
var plainName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// task is one piece of work for an agent.
type task struct {
	agent string
	way   way
	text  string
}

// path is where the task is sent, relative to the service's base.
func (t task) path() string {
	if t.way == copilot {
		return "copilot"
	}
	return "agents/" + t.agent + "/invoke"
}

// digest is how an answer names the task: the first 16 hexadecimal digits of the
// text's SHA-256.
func (t task) digest() string {
	sum := sha256.Sum256([]byte(t.text))
	return hex.EncodeToString(sum[:8])
}

// tasks makes the tasks of one seed.
type tasks struct {
	seed   uint64
	agents []string
}

// task returns the task of an index: the same for the same seed, index and agents. A
// tenth goes through the router, a tenth is streamed.
func (s tasks) task(index int) task {
	random := rand.New(rand.NewPCG(s.seed, uint64(int64(index))))
	t := task{agent: s.agents[random.IntN(len(s.agents))], way: invoke, text: s.text(random)}
	switch random.IntN(10) {
	case 0:
		return s.sent(t, copilot)
	case 1:
		t.way = stream
	}
	return t
}

// sent returns the task as it is sent another way.
func (s tasks) sent(t task, by way) task {
	if t.way = by; by == copilot {
		t.text = "@" + t.agent + " " + t.text
	}
	return t
}

// text writes some sentences about a problem. Its ticket makes it different from all
// others.
func (s tasks) text(random *rand.Rand) string {
	word := func(list []string) string { return list[random.IntN(len(list))] }
	openings := random.Perm(len(sentences))
	count := 4 + random.IntN(3)
	var text strings.Builder
	fmt.Fprintf(&text, "Ticket %08x.", random.Uint32())
	for i := range count {
		sentence := sentences[openings[i]]
		for strings.Contains(sentence, "{") {
			sentence = strings.Replace(sentence, "{system}", word(systems), 1)
			sentence = strings.Replace(sentence, "{part}", word(parts), 1)
			sentence = strings.Replace(sentence, "{trouble}", word(troubles), 1)
			sentence = strings.Replace(sentence, "{wish}", word(wishes), 1)
		}
		text.WriteString(" " + sentence)
	}
	return text.String()
}

// The words of tasks. None asks a service to hand the task to another one.
var (
	sentences = []string{
		"Our {system} has {trouble} since the last release.",
		"We suspect the {part} or the {part}, and nobody has measured either.",
		"The {part} shows {trouble} only under load, with many requests at once.",
		"Please find what to change first to {wish}.",
		"A colleague wants to replace the {part}, but the {system} depends on it.",
		"The tail of the latency grew while the {part} looked idle.",
		"We must {wish} before the next audit and without an outage.",
		"Tests did not catch {trouble}, as they never filled the {part}.",
		"Say how to test it, what it costs and how to go back.",
		"Yesterday the {part} was full of hostile input and the {system} slowed down.",
		"One core is busy with the {part} and the other waits for a lock.",
		"The data is old, the schema has three versions and the {part} reads them all.",
	}
	systems = []string{
		"payment gateway", "chat server", "search engine", "build farm", "video pipeline", "booking site",
		"message broker", "document editor", "web crawler", "package registry", "power grid monitor", "feature store",
		"fraud detector", "time series database", "key management service", "translation service",
	}
	parts = []string{
		"cache", "worker pool", "connection pool", "append log", "index", "scheduler", "parser", "message queue",
		"checksum of the blocks", "matrix product", "histogram of latencies", "buffer pool", "key rotation",
		"stream of events", "training data", "compaction of sorted runs",
	}
	troubles = []string{
		"a slow tail", "growing memory", "lost records", "wrong sums", "timeouts", "a full disk",
		"idle cores", "repeated requests", "torn records", "cache misses", "a crash at night", "late events",
	}
	wishes = []string{
		"halve the cost", "bound the memory", "shorten the tail", "keep every record", "survive a crash",
		"serve twice the load", "justify each decision", "rotate the keys",
	}
)
