package server

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

// telling is the score from which on a passage counts as found: a few of a hundred that
// have a term of a search.
const telling = 21

// standing is how often searches have found a passage.
type standing struct {
	passage *knowledge.Passage
	times   int
}

// before orders a table: what was found more often comes first, and what was found as
// often in the order of the texts.
func (s *standing) before(other *standing) int {
	return cmp.Or(cmp.Compare(other.times, s.times),
		cmp.Compare(s.passage.Domain, other.passage.Domain),
		cmp.Compare(s.passage.Technique, other.passage.Technique),
		cmp.Compare(s.passage.Setting, other.passage.Setting))
}

// leagueTable is kept by one goroutine, which sorts it anew whenever a passage was
// found. Searches hand their passages over an unbuffered channel, and so
// wait for that goroutine at every one of them: a planted fault.
type leagueTable struct {
	findings chan *knowledge.Passage
	stop     chan struct{}
	over     sync.WaitGroup

	table []*standing
	known map[title]*standing
}

// title tells passages apart.
type title struct{ technique, setting string }

// newLeagueTable begins to keep a table of the passages that there are; it ends with
// standings.
func newLeagueTable(index *knowledge.Index) *leagueTable {
	l := &leagueTable{
		findings: make(chan *knowledge.Passage), stop: make(chan struct{}),
		known: make(map[title]*standing),
	}
	for number := range index.Size() {
		s := &standing{passage: index.Passage(number)}
		l.table = append(l.table, s)
		l.known[title{s.passage.Technique, s.passage.Setting}] = s
	}
	slices.SortFunc(l.table, (*standing).before)
	l.over.Go(l.keep)
	return l
}

// report hands a passage over. No search may be running when the table ends.
func (l *leagueTable) report(p *knowledge.Passage, score float64) {
	if score >= telling {
		l.findings <- p
	}
}

func (l *leagueTable) keep() {
	for {
		select {
		case p := <-l.findings:
			l.promote(p)
		case <-l.stop:
			return
		}
	}
}

// promote counts a passage and puts the table in order.
func (l *leagueTable) promote(p *knowledge.Passage) {
	l.known[title{p.Technique, p.Setting}].times++
	slices.SortFunc(l.table, (*standing).before)
}

// standings ends the table and returns those that were found.
func (l *leagueTable) standings() []*standing {
	close(l.stop)
	l.over.Wait()
	return slices.DeleteFunc(l.table, func(s *standing) bool { return s.times == 0 })
}

// counters count the same without waiting for anybody. What has to be in order is sorted
// when it is asked for.
type counters struct {
	times sync.Map // *atomic.Int64 by *knowledge.Passage
}

func (c *counters) report(p *knowledge.Passage, score float64) {
	if score < telling {
		return
	}
	times, known := c.times.Load(p)
	if !known {
		times, _ = c.times.LoadOrStore(p, new(atomic.Int64))
	}
	times.(*atomic.Int64).Add(1)
}

func (c *counters) standings() []*standing {
	var table []*standing
	c.times.Range(func(p, times any) bool {
		table = append(table, &standing{passage: p.(*knowledge.Passage), times: int(times.(*atomic.Int64).Load())})
		return true
	})
	slices.SortFunc(table, (*standing).before)
	return table
}

// tally counts what searches find.
type tally interface {
	report(p *knowledge.Passage, score float64)
	standings() []*standing
}

// logStandings writes which passages were found most often.
func logStandings(log *slog.Logger, table []*standing) {
	const first = 5
	for place, s := range table[:min(first, len(table))] {
		log.Info("found", slog.Int("place", place+1), slog.Int("times", s.times),
			slog.String("technique", s.passage.Technique), slog.String("setting", s.passage.Setting))
	}
}
