package metrics

import (
	"fmt"
	"strings"
)

// Generator is what the generator adds to latencies by itself: the same code sent
// requests to a server that answers at once. The network on the way and that
// server's own work are in it, so it is an upper bound. Times are milliseconds.
type Generator struct {
	// RatePerSecond is that of an open loop: the run's own, or a higher one where
	// that would not give a percentile in so short a time. Concurrency is that of a
	// closed loop.
	RatePerSecond float64 `json:"rate_per_second,omitempty"`
	Concurrency   int     `json:"concurrency,omitempty"`
	Requests      int     `json:"requests"`
	// SendLate is from the intended start to the send, Exchange from the send to the
	// end of the answer, Added from the intended start to the end of the answer.
	SendLateP50Ms float64 `json:"send_late_p50_ms"`
	SendLateP99Ms float64 `json:"send_late_p99_ms"`
	ExchangeP50Ms float64 `json:"exchange_p50_ms"`
	ExchangeP99Ms float64 `json:"exchange_p99_ms"`
	AddedP50Ms    float64 `json:"added_p50_ms"`
	AddedP99Ms    float64 `json:"added_p99_ms"`
	// CPURatio is as Load.GeneratorCPURatio.
	CPURatio float64 `json:"cpu_ratio"`
}

// What makes a generator the bottleneck of a run: it accounts for more than this
// part of the median latency, and keeps this part of a core busy. The first alone
// is no fault: a service that answers at once is hardly slower than none at all, and
// on a host that is busy with other things everything waits for a CPU. The second
// alone is none either: it is what a fast schedule costs.
const (
	bottleneckShare = 0.5
	bottleneckCPU   = 0.5
)

// JudgeGenerator takes what the generator adds into a document that is whole
// otherwise, or, where that is nil, why it is unknown. Latency is the median time in
// milliseconds from the intended start to the end of the run's valid answers, clients
// how many a request has at once, at least one.
//
// A run of which the generator was the bottleneck becomes invalid. A target on a
// latency that was missed by no more than what the generator adds is undecided.
func (d *Document) JudgeGenerator(own *Generator, unknown string, latency float64, clients int) {
	d.Load.Generator, d.Load.GeneratorUnknown = own, unknown
	if own == nil {
		return
	}
	added := d.addedMedian()
	dominates, busy := added > bottleneckShare*latency, d.Load.GeneratorCPURatio >= bottleneckCPU*float64(max(clients, 1))
	switch {
	case d.Status == Complete && dominates && busy:
		d.invalidate(fmt.Sprintf("the generator was the bottleneck: of the median latency of %.3g ms it accounts for %.3g ms, and it kept %.2f cores busy", latency, added, d.Load.GeneratorCPURatio))
	case dominates && d.Load.OwnLateP50Ms > own.ExchangeP50Ms:
		d.Notes = append(d.Notes, fmt.Sprintf("half of the requests left %.3g ms late or more, though the generator kept only %.2f cores busy: the host was too busy to send on time, and the latencies of this run, %.3g ms in the median, are as much the host's as the service's", d.Load.OwnLateP50Ms, d.Load.GeneratorCPURatio, latency))
	case dominates:
		d.Notes = append(d.Notes, fmt.Sprintf("a server that does nothing is answered for in %.3g ms (median), this service in %.3g ms: most of that is the generator's and the network's", added, latency))
	}
	for i := range d.Targets {
		d.doubt(&d.Targets[i])
	}
}

// addedMedian is the generator's part of a median latency: how late it was in the
// run itself, and what an exchange takes where the other side does nothing.
func (d *Document) addedMedian() float64 {
	own := d.Load.Generator
	return max(d.Load.OwnLateP50Ms, own.SendLateP50Ms) + own.ExchangeP50Ms
}

// addedTail is the generator's part of a high percentile, at most.
func (d *Document) addedTail() float64 {
	own := d.Load.Generator
	return max(max(d.Load.OwnLateP99Ms, own.SendLateP99Ms)+own.ExchangeP99Ms, own.AddedP99Ms)
}

// invalidate ends the trust in a run; no target of it is decided any more.
func (d *Document) invalidate(reason string) {
	d.Status, d.StatusReason = Invalid, reason
	for i := range d.Targets {
		d.Targets[i].Verdict = Undecided
		d.Targets[i].Reason = fmt.Sprintf("the run is %s: %s", d.Status, d.StatusReason)
	}
}

// doubt makes a target on a latency undecided that was missed by no more than what
// the generator adds. One that was met would be met the more without it.
func (d *Document) doubt(target *Target) {
	interval, ok := d.CI[target.Metric]
	if target.Verdict != Missed || target.Comparison != "<" || target.Unit != "ms" || !ok {
		return
	}
	added := d.addedMedian()
	if strings.HasSuffix(target.Metric, "_p95_ms") || strings.HasSuffix(target.Metric, "_p99_ms") {
		added = d.addedTail()
	}
	if interval.Low-added > target.Value {
		return
	}
	target.Verdict = Undecided
	target.Reason = fmt.Sprintf("%s, but by no more than the %.3g ms that the generator itself may have added", target.Reason, added)
}
