package sigmavault

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// reader restores contexts from a library of units.
type reader struct {
	*driver
	warm, chilled []*unit
	// unprepared is why the library could not be stored, nil if it was.
	unprepared *transport.Answer
	// notCold is why units cannot be dropped from the caches, found in the warm-up.
	notCold error
}

// prepare stores the library, several units at a time, and compares each.
func (r *reader) prepare(ctx context.Context, timeout time.Duration) {
	for number := range r.library {
		u := r.units.unit("library", number)
		if number < r.library-r.scale.cold {
			r.warm = append(r.warm, u)
		} else {
			r.chilled = append(r.chilled, u)
		}
	}
	all := append(append([]*unit(nil), r.warm...), r.chilled...)
	r.unprepared = together(Writers, func(writer int) *transport.Answer {
		for number := writer; number < len(all); number += Writers {
			if failed := r.admit(ctx, timeout, all[number]); failed != nil {
				return failed
			}
		}
		return nil
	})
}

// admit stores one unit of the library.
func (r *reader) admit(ctx context.Context, timeout time.Duration, u *unit) *transport.Answer {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer := r.store.write(ctx, u, r.fresh(u))
	if answer.Outcome == metrics.OK {
		answer = r.compare(ctx, u)
	}
	if answer.Outcome != metrics.OK {
		return &answer
	}
	return nil
}

// Send restores one context: several clients at once read units, and then one of them is
// read cold. One client's first read is judged.
func (r *reader) Send(ctx context.Context, index int) load.Exchange {
	if r.unprepared != nil {
		return r.unprepared.Exchange()
	}
	random, began := r.random("read", index), time.Now()
	judgedClient := random.IntN(Readers)
	seeds := [Readers]uint64{random.Uint64(), random.Uint64()}
	seen := make([]observation, Readers)
	var judged transport.Answer
	r.enter(index, "read")
	defer r.leave(index)
	failed := together(Readers, func(client int) *transport.Answer {
		random := rand.New(rand.NewPCG(seeds[client], 0))
		for round := range r.operations {
			u := r.warm[random.IntN(len(r.warm))]
			sent := time.Now()
			answer := r.get(ctx, u)
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
	all := merge(seen)
	if failed == nil {
		failed = r.readCold(ctx, index, &all)
	}
	return r.conclude(index, began, all, &judged, failed)
}

// readCold drops a unit from the caches and reads it.
func (r *reader) readCold(ctx context.Context, index int, seen *observation) *transport.Answer {
	u := r.chilled[(index+warmups)%len(r.chilled)]
	if index < 0 {
		r.notCold = r.store.drop(ctx, u)
	}
	if r.notCold != nil {
		return nil
	}
	if index >= 0 {
		if err := r.store.drop(ctx, u); err != nil {
			a := transport.Answer{End: time.Now()}
			a.Fail(metrics.ServiceError, err)
			return &a
		}
	}
	r.enter(index, "cold read")
	sent := time.Now()
	answer := r.get(ctx, u)
	if answer.Outcome != metrics.OK {
		return &answer
	}
	seen.cold = append(seen.cold, milliseconds(answer.End.Sub(sent)))
	return nil
}

// Fill sets the metrics.
func (r *reader) Fill(document *metrics.Document, result *load.Result) {
	r.samples = collect(result, r.seen)
	r.samples.fill(document, result, "read", "reads")
	if r.notCold != nil {
		for _, name := range []string{"cold_read_mean_ms", "cold_read_p50_ms", "cold_read_p99_ms"} {
			document.SetUnavailable(name, r.notCold.Error())
		}
		return
	}
	document.SetMean("cold_read_mean_ms", r.samples.cold)
	document.SetQuantile("cold_read_p50_ms", r.samples.cold, 0.50)
	document.SetQuantile("cold_read_p99_ms", r.samples.cold, 0.99)
}

// Judge sets the targets.
func (r *reader) Judge(document *metrics.Document) {
	r.samples.judge(document, "read_p50_ms", 0.50, 5)
	r.samples.judge(document, "read_p99_ms", 0.99, 10)
}
