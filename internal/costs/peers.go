package costs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// Peers measures what Narrows and perf cost on the same machine at the same
// frequency, and how fast other tools name what Narrows names. Where one is missing or
// does not work the table says so.
func Peers(ctx context.Context, config Config) (*Table, error) {
	b, err := newBench(ctx, config, "Narrows beside others")
	if err != nil {
		return nil, err
	}
	var perf Perf
	var missing error
	for _, step := range []struct {
		what string
		perf bool
		take func(context.Context) error
	}{
		{"naming beside other tools", false, b.lookupPeers},
		{"waits beside other tools", false, b.waitPeers},
		{"the CPU time of both tools", true, func(ctx context.Context) error { return b.sameSeconds(ctx, perf) }},
		{"the slowdown of a busy machine", true, func(ctx context.Context) error {
			return b.slowdowns(ctx, []Condition{Bare{}, b.narrows(usualFrequency), perf})
		}},
	} {
		if !strings.Contains(step.what, config.Only) || missing != nil {
			continue
		}
		if step.perf && perf == (Perf{}) {
			if perf, missing = FindPerf(ctx, usualFrequency, config.Dir); missing != nil {
				b.table.skip("perf", missing)
				continue
			}
		}
		b.progress("measuring %s", step.what)
		if err := step.take(ctx); err != nil {
			return nil, fmt.Errorf("measuring %s: %w", step.what, err)
		}
	}
	return b.table, nil
}

// sameSeconds has both tools record the same busy seconds.
func (b *bench) sameSeconds(ctx context.Context, perf Perf) (err error) {
	stop, _, err := b.target.keepBusy(ctx, depth, "spin")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var narrows, program, record, report []float64
	var unreported error
	for range recordings {
		var both sync.WaitGroup
		var ours recorded
		var theirs perfCost
		var ourErr, theirErr error
		both.Go(func() { ours, ourErr = b.narrows(usualFrequency).recordFor(ctx, recordingDuration) })
		both.Go(func() { theirs, theirErr = perf.recordFor(ctx, recordingDuration) })
		both.Wait()
		if err := errors.Join(ourErr, theirErr); err != nil {
			return err
		}
		narrows = append(narrows, ours.cost.CPUUserSeconds+ours.cost.CPUSystemSeconds)
		program = append(program, ours.cost.EBPFRunSeconds)
		record = append(record, theirs.record.Seconds())
		report = append(report, theirs.report.Seconds())
		unreported = errors.Join(unreported, theirs.failed)
	}
	what := fmt.Sprintf("the same %.0f s of the whole busy machine at %d Hz: CPU time of ", recordingDuration.Seconds(), usualFrequency)
	b.table.add(what+"narrows record, names included", "s", Median(narrows))
	b.table.add(what+"its eBPF program beside that", "s", Median(program))
	b.table.add(what+"perf record, without names", "s", Median(record))
	if name := what + "perf report, for the names"; unreported != nil {
		b.table.skip(name, unreported)
	} else {
		b.table.add(name, "s", Median(report))
	}
	return nil
}
