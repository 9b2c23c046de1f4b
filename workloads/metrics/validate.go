package metrics

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

var (
	benchmarkName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,63}$`)
	metricName    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

// ratioMetric begins the names of compression ratios.
const ratioMetric = "compression_ratio"

// IsRatio reports whether a metric is a compression ratio, which is not to be shown
// without the document's RoundTrip.
func IsRatio(metric string) bool { return strings.HasPrefix(metric, ratioMetric) }

// RequiredFields lists the metrics that every document of a service has, as a
// number or as null with a reason. It is empty for a service without fixed
// fields.
func RequiredFields(service string) []string {
	switch service {
	case "ryot":
		return []string{
			"ttft_mean_ms", "ttft_p50_ms", "ttft_p95_ms", "ttft_p99_ms",
			"tokens_per_second", "peak_memory_mb", "gpu_utilization_percent",
		}
	case "sigmavault":
		return []string{
			"read_p50_ms", "read_p99_ms", "cold_read_p50_ms", "cold_read_p99_ms",
			"write_p50_ms", "write_p99_ms", "throughput_mb_per_s", "peak_memory_mb",
		}
	case "agents":
		return []string{
			"task_mean_ms", "task_p50_ms", "task_p95_ms", "task_p99_ms",
			"tasks_per_second", "queue_depth_mean", "queue_depth_max", "peak_memory_mb",
		}
	case "sigmalang":
		return []string{
			ratioMetric, "compression_ratio_english", "compression_ratio_code", "compression_ratio_repeated",
			"compression_ratio_random", "compression_ratio_all", "round_trip_ok_ratio",
			"throughput_mb_per_s", "compress_ms_per_mb", "decompress_ms_per_mb", "peak_memory_mb",
		}
	}
	return nil
}

// Validate checks what the JSON Schema says and what it cannot say: each null
// metric has a reason and only those have, each interval belongs to a measured
// metric, each target has a verdict that its metric allows, and a status other
// than complete is explained. All faults are reported at once.
func (d *Document) Validate() error {
	return errors.Join(d.validateHead(), d.validateMetrics(), d.validateIntervals(), d.validateTargets())
}

func (d *Document) validateHead() error {
	var errs []error
	fault := func(format string, arguments ...any) { errs = append(errs, fmt.Errorf(format, arguments...)) }
	if d.SchemaVersion != SchemaVersion {
		fault("schema version %d, this program knows %d", d.SchemaVersion, SchemaVersion)
	}
	if !benchmarkName.MatchString(d.Benchmark) {
		fault("benchmark name %q is not a plain CamelCase word", d.Benchmark)
	}
	if d.Service == "" {
		fault("no service named")
	}
	if d.Timestamp.IsZero() {
		fault("no timestamp")
	}
	if d.Iterations < 0 || d.N < 0 || d.N > d.Iterations {
		fault("n = %d of %d iterations", d.N, d.Iterations)
	}
	switch d.Status {
	case Complete:
	case Smoke, Invalid, Failed:
		if d.StatusReason == "" {
			fault("status %q without a reason", d.Status)
		}
	default:
		fault("unknown status %q", d.Status)
	}
	if d.Status == Complete && d.N == 0 {
		fault("status complete without a valid answer")
	}
	if d.TargetKind != "reference" && d.TargetKind != "external" {
		fault("unknown target kind %q", d.TargetKind)
	}
	if d.Load.Model != "open-loop" && d.Load.Model != "closed-loop" {
		fault("unknown load model %q", d.Load.Model)
	}
	for kind, count := range d.Errors {
		if !Outcome(kind).Known() || Outcome(kind) == OK || count <= 0 {
			fault("error count %q: %d", kind, count)
		}
	}
	return errors.Join(errs...)
}

func (d *Document) validateMetrics() error {
	var errs []error
	for _, name := range RequiredFields(d.Service) {
		if _, ok := d.Metrics[name]; !ok {
			errs = append(errs, fmt.Errorf("metric %s is missing", name))
		}
	}
	for name, value := range d.Metrics {
		reason := d.Unavailable[name]
		switch {
		case !metricName.MatchString(name):
			errs = append(errs, fmt.Errorf("metric name %q", name))
		case value == nil && reason == "":
			errs = append(errs, fmt.Errorf("metric %s is null without a reason", name))
		case value != nil && reason != "":
			errs = append(errs, fmt.Errorf("metric %s has a value and a reason for having none", name))
		case value != nil && IsRatio(name) && d.RoundTrip == nil:
			errs = append(errs, fmt.Errorf("metric %s has a value, and nothing says whether what was compressed came back", name))
		case value != nil && (math.IsNaN(*value) || math.IsInf(*value, 0)):
			errs = append(errs, fmt.Errorf("metric %s is %v", name, *value))
		}
	}
	if d.RoundTrip != nil {
		errs = append(errs, d.RoundTrip.validate())
	}
	for name := range d.Unavailable {
		if _, ok := d.Metrics[name]; !ok {
			errs = append(errs, fmt.Errorf("a reason is given for %s, which is no metric of this document", name))
		}
	}
	return errors.Join(errs...)
}

func (d *Document) validateIntervals() error {
	var errs []error
	for name, interval := range d.CI {
		if value, ok := d.Metrics[name]; !ok || value == nil {
			errs = append(errs, fmt.Errorf("an interval is given for %s, which was not measured", name))
		}
		// Negated, so that NaN is refused as well.
		if !(interval.Low <= interval.High) || math.IsInf(interval.Low, 0) || math.IsInf(interval.High, 0) {
			errs = append(errs, fmt.Errorf("interval of %s: [%v, %v]", name, interval.Low, interval.High))
		}
		if !(interval.Confidence > 0 && interval.Confidence < 1) || interval.Method == "" {
			errs = append(errs, fmt.Errorf("interval of %s: confidence %v by method %q", name, interval.Confidence, interval.Method))
		}
	}
	return errors.Join(errs...)
}

func (d *Document) validateTargets() error {
	var errs []error
	verdicts := []Verdict{Met, Missed, Undecided}
	for _, target := range d.Targets {
		value, ok := d.Metrics[target.Metric]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("target on %s, which is no metric of this document", target.Metric))
		case !slices.Contains(verdicts, target.Verdict):
			errs = append(errs, fmt.Errorf("target on %s: unknown verdict %q", target.Metric, target.Verdict))
		case target.Reason == "":
			errs = append(errs, fmt.Errorf("target on %s: a verdict without a reason", target.Metric))
		case target.Comparison != "<" && target.Comparison != ">":
			errs = append(errs, fmt.Errorf("target on %s: unknown comparison %q", target.Metric, target.Comparison))
		case target.Verdict == Met && (value == nil || d.Status != Complete):
			errs = append(errs, fmt.Errorf("target on %s is met, but the metric is null or the run is %s", target.Metric, d.Status))
		}
	}
	return errors.Join(errs...)
}
