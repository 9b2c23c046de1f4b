package sigmavault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// writer saves contexts.
type writer struct {
	*driver
}

// together calls a function for several clients at once and returns the first failure
// by the client's number, nil if there is none.
func together(clients int, call func(client int) *transport.Answer) *transport.Answer {
	failures := make([]*transport.Answer, clients)
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() { failures[client] = call(client) })
	}
	all.Wait()
	for _, failed := range failures {
		if failed != nil {
			return failed
		}
	}
	return nil
}

// prepare stocks the service. What it does not take is no failure of the benchmark, whose
// own writes will meet the same.
func (w *writer) prepare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stockTime)
	defer cancel()
	together(Writers, func(client int) *transport.Answer {
		for number := client; number < w.stock && ctx.Err() == nil; number += Writers {
			u := w.units.unit("stock", number)
			u.size, u.kvCacheSize = smallestUnit, 0
			if answer := w.store.write(ctx, u, w.fresh(u)); answer.Outcome != metrics.OK {
				return &answer
			}
		}
		return nil
	})
}

// Send saves one context: several clients at once write a unit each, and then new
// versions of it. One client's first write is judged. One of the units is read back.
func (w *writer) Send(ctx context.Context, index int) load.Exchange {
	random, began := w.random("write", index), time.Now()
	judgedClient, checkedClient := random.IntN(Writers), random.IntN(Writers)
	seen := make([]observation, Writers)
	last := make([]*unit, Writers)
	var judged transport.Answer
	w.enter(index, "write")
	defer w.leave(index)
	failed := together(Writers, func(client int) *transport.Answer {
		for round := range w.operations {
			u := w.version(index, client, round)
			last[client] = u
			content := w.fresh(u)
			sent := time.Now()
			answer := w.store.write(ctx, u, content)
			if client == judgedClient && round == 0 {
				judged, seen[client].size = answer, u.size
			}
			if answer.Outcome != metrics.OK {
				return &answer
			}
			seen[client].add(sent, &answer, u)
		}
		return nil
	})
	if failed == nil {
		w.enter(index, "read back")
		if answer := w.compare(ctx, last[checkedClient]); answer.Outcome != metrics.OK {
			failed = &answer
		}
	}
	return w.conclude(index, began, merge(seen), &judged, failed)
}

// version is what a client writes in a round: another content of the same ID.
func (w *writer) version(index, client, round int) *unit {
	u := w.units.unit(fmt.Sprintf("written-%d", round), index*Writers+client)
	u.id = fmt.Sprintf("narrows-%s-written-%d-%d", w.units.tag, index+warmups, client)
	return u
}

// merge adds observations up.
func merge(seen []observation) (all observation) {
	for _, o := range seen {
		all.all = append(all.all, o.all...)
		all.bytes += o.bytes
		all.size += o.size
	}
	return all
}

// Fill sets the metrics.
func (w *writer) Fill(document *metrics.Document, result *load.Result) {
	w.samples = collect(result, w.seen)
	w.samples.fill(document, result, "write", "writes")
}

// Judge sets the targets.
func (w *writer) Judge(document *metrics.Document) {
	w.samples.judge(document, "write_p50_ms", 0.50, 10)
	w.samples.judge(document, "write_p99_ms", 0.99, 20)
}
