package costs

import (
	"context"
	"errors"
	"fmt"
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
	b.progress("measuring naming beside other tools")
	if err := b.lookupPeers(ctx); err != nil {
		return nil, fmt.Errorf("measuring naming beside other tools: %w", err)
	}
	b.progress("comparing waits with other tools")
	if err := b.waitPeers(ctx); err != nil {
		return nil, fmt.Errorf("comparing waits with other tools: %w", err)
	}
	perf, err := FindPerf(ctx, usualFrequency, config.Dir)
	if err != nil {
		b.table.skip("perf", err)
		return b.table, nil
	}
	b.progress("measuring the CPU time of both tools")
	if err := b.sameSeconds(ctx, perf); err != nil {
		return nil, fmt.Errorf("measuring the CPU time of both tools: %w", err)
	}
	b.progress("measuring the slowdown of a busy machine")
	if err := b.slowdowns(ctx, []Condition{Bare{}, b.narrows(usualFrequency), perf}); err != nil {
		return nil, fmt.Errorf("measuring the slowdown of a busy machine: %w", err)
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
