package metrics

import (
	"fmt"
	"slices"

	"github.com/narrows-profiler/narrows/analysis/statistics"
)

// confidence is that of every interval in a document.
const confidence = 0.95

// New returns a document whose maps can be written to. Every required field of
// the service is null for the reason given until it is set.
func New(service, benchmark, reason string) *Document {
	d := &Document{
		SchemaVersion: SchemaVersion,
		Service:       service,
		Benchmark:     benchmark,
		Metrics:       make(map[string]*float64),
		Unavailable:   make(map[string]string),
		CI:            make(map[string]Interval),
		Errors:        make(map[string]int),
	}
	for _, name := range RequiredFields(service) {
		d.SetUnavailable(name, reason)
	}
	return d
}

// Set gives a metric its value.
func (d *Document) Set(name string, value float64) {
	d.Metrics[name] = &value
	delete(d.Unavailable, name)
	delete(d.CI, name)
}

// SetUnavailable makes a metric null for a reason.
func (d *Document) SetUnavailable(name, reason string) {
	d.Metrics[name] = nil
	d.Unavailable[name] = reason
	delete(d.CI, name)
}

// SetMean gives a metric the mean of a sample, with an interval from two values
// on.
func (d *Document) SetMean(name string, sample []float64) {
	if len(sample) == 0 {
		d.SetUnavailable(name, "nothing was measured for it")
		return
	}
	d.Set(name, mean(sample))
	if interval, err := meanInterval(sample); err == nil {
		d.CI[name] = interval
	}
}

// SetQuantile gives a metric the q-quantile of a sample, with its interval, when
// the sample is large enough for a distribution-free upper bound of 95 %
// confidence (59 values for q = 0.95, 299 for 0.99). With fewer it is null: the
// true quantile could then lie above everything seen. The value is the least one
// that at least the fraction q of the sample does not exceed. The interval takes
// the values for independent; those of requests that queued behind each other
// are less than that.
func (d *Document) SetQuantile(name string, sample []float64, q float64) {
	if err := quantileBounded(len(sample), q); err != nil {
		d.SetUnavailable(name, err.Error())
		return
	}
	sorted := slices.Sorted(slices.Values(sample))
	value, ok := statistics.Quantile(sorted, q)
	if !ok {
		d.SetUnavailable(name, "its values are not all finite")
		return
	}
	d.Set(name, value)
	if interval, err := quantileInterval(sorted, q); err == nil {
		d.CI[name] = interval
	}
}

// SetPooledMean is SetMean for values that come in groups of dependent ones: no
// interval is given.
func (d *Document) SetPooledMean(name string, sample []float64) {
	d.SetMean(name, sample)
	delete(d.CI, name)
}

// SetPooledQuantile is SetQuantile for values that come in groups of dependent
// ones, such as the gaps within one answer: a count of values promises more than
// they hold, so the number of groups must be large enough and no interval is
// given.
func (d *Document) SetPooledQuantile(name string, sample []float64, groups int, q float64) {
	if err := quantileBounded(min(groups, len(sample)), q); err != nil {
		d.SetUnavailable(name, err.Error())
		return
	}
	d.SetQuantile(name, sample, q)
	delete(d.CI, name)
}

// JudgeQuantile adds a target on the q-quantile of a sample. It is met or missed
// when the whole interval of the quantile lies on one side. A sample that is just
// large enough for the quantile to be printed has no interval of 95 %, but a bound of
// 95 % on each side, which a verdict needs no more than. Failures counts
// requests without a valid answer: leaving them out would flatter, so each
// stands as a value beyond all others on the wrong side.
func (d *Document) JudgeQuantile(target Target, sample []float64, failures int, q float64) {
	all := withFailures(sample, failures, worst(target.Comparison))
	interval, err := verdictInterval(slices.Sorted(slices.Values(all)), q)
	d.judge(target, interval, err, failureNote(failures, "each counts as worse than every answer"))
}

// JudgeMean adds a target on the mean of a sample, where each failure counts as
// the value given.
func (d *Document) JudgeMean(target Target, sample []float64, failures int, failureValue float64) {
	all := withFailures(sample, failures, failureValue)
	interval, err := meanInterval(all)
	d.judge(target, interval, err, failureNote(failures, fmt.Sprintf("each counts as %g %s", failureValue, target.Unit)))
}

func (d *Document) judge(target Target, interval Interval, err error, note string) {
	value := d.Metrics[target.Metric]
	switch {
	case d.Status != Complete:
		target.Verdict, target.Reason = Undecided, fmt.Sprintf("the run is %s: %s", d.Status, d.StatusReason)
	case value == nil:
		target.Verdict, target.Reason = Undecided, "not measured: "+d.Unavailable[target.Metric]
	case err != nil:
		target.Verdict, target.Reason = Undecided, err.Error()
	default:
		target.Verdict, target.Reason = compare(interval, target)
	}
	target.Reason += note
	d.Targets = append(d.Targets, target)
}

// compare tells on which side of the target an interval lies.
func compare(interval Interval, target Target) (Verdict, string) {
	text := fmt.Sprintf("the %g %% interval %s to %s %s", interval.Confidence*100, bound(interval.Low), bound(interval.High), target.Unit)
	below, above := interval.High < target.Value, interval.Low > target.Value
	switch {
	case below && target.Comparison == "<", above && target.Comparison == ">":
		return Met, text + " is wholly within the target"
	case below || above:
		return Missed, text + " is wholly beyond the target"
	}
	return Undecided, text + " includes the target"
}
