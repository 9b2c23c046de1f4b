// Package metrics is the document a benchmark leaves behind: one JSON object
// with every field of its service present, null with a reason where a field was
// not measured, the interval behind each number and the verdict on each target.
//
// A benchmark fills a [Document]; [Document.WriteFile] puts it into a session's
// metrics folder; rankings and reports read it back with [ReadFile]. The field
// names are fixed and described by docs/schema/metrics.schema.json.
package metrics

import "time"

// SchemaVersion is the version of the JSON layout that this package writes.
const SchemaVersion = 1

// Document is the outcome of one benchmark against one service.
type Document struct {
	SchemaVersion int       `json:"schema_version"`
	Service       string    `json:"service"`
	Benchmark     string    `json:"benchmark"`
	Timestamp     time.Time `json:"timestamp"`
	// Iterations is the number of measured requests asked for, N the number
	// whose answers were validated; only those N are behind the metrics.
	Iterations   int    `json:"iterations"`
	N            int    `json:"n"`
	Status       Status `json:"status"`
	StatusReason string `json:"status_reason,omitempty"`
	// TargetKind is "reference" for the service of this repository and
	// "external" for one named with --target.
	TargetKind string     `json:"target_kind"`
	Provenance Provenance `json:"provenance"`
	Load       Load       `json:"load"`
	// Metrics holds each field of the service; nil is JSON null and has its
	// reason in Unavailable.
	Metrics     map[string]*float64 `json:"metrics"`
	Unavailable map[string]string   `json:"unavailable"`
	// CI holds the confidence interval of a metric, by the metric's name.
	CI      map[string]Interval `json:"ci"`
	Targets []Target            `json:"targets"`
	// RoundTrip is there wherever a compression ratio is.
	RoundTrip *RoundTrip `json:"round_trip,omitempty"`
	// Errors counts the requests that gave no valid answer, by outcome.
	Errors map[string]int `json:"errors"`
	// Notes are sentences a reader of the numbers has to know, for example how
	// tokens were counted.
	Notes []string `json:"notes,omitempty"`
}

// Status says how far a document's numbers may be trusted.
type Status string

// The states of a benchmark that was run.
const (
	Complete Status = "complete" // ran as asked
	Smoke    Status = "smoke"    // a deliberately shortened endurance run
	Invalid  Status = "invalid"  // ran shorter or otherwise than asked
	Failed   Status = "failed"   // no valid answer at all
)

// Provenance says what was driven and from where.
type Provenance struct {
	Host            string `json:"host"`
	Kernel          string `json:"kernel"`
	NarrowsVersion  string `json:"narrows_version"`
	TargetURL       string `json:"target_url"`
	Model           string `json:"model,omitempty"`
	Seed            uint64 `json:"seed"`
	SessionRelative string `json:"requests_file,omitempty"`
}

// Load describes how requests arrived, and how well the generator kept to it.
type Load struct {
	// Model is "open-loop" (arrivals on a schedule, latency from the intended
	// start) or "closed-loop" (the next request waits for an answer).
	Model string `json:"model"`
	// Arrivals is "poisson" or "uniform" for an open loop, "sequential" for a
	// closed one.
	Arrivals      string  `json:"arrivals,omitempty"`
	RatePerSecond float64 `json:"rate_per_second,omitempty"`
	Concurrency   int     `json:"concurrency,omitempty"`
	// Calibration is absent when the rate was given by the user.
	Calibration     *Calibration `json:"calibration,omitempty"`
	WarmupRequests  int          `json:"warmup_requests"`
	DurationSeconds float64      `json:"duration_seconds"`
	MaxInFlight     int          `json:"max_in_flight"`
	InFlightLimit   int          `json:"in_flight_limit,omitempty"`
	// SendLate describes by how many milliseconds requests left after their
	// intended start: a census of this run's sends, not an estimate.
	SendLateP50Ms float64 `json:"send_late_p50_ms"`
	SendLateP99Ms float64 `json:"send_late_p99_ms"`
	SendLateMaxMs float64 `json:"send_late_max_ms"`
	// OwnLate is the part of SendLate that is the generator's own: when it came to
	// a request, before the bound on those in flight could hold the request back.
	OwnLateP50Ms float64 `json:"own_late_p50_ms"`
	OwnLateP99Ms float64 `json:"own_late_p99_ms"`
	// GeneratorCPUSeconds is user and system time of the whole generating
	// process in the measured phase (getrusage(2)); the ratio divides it by the
	// phase's length, so 1 is one busy core.
	GeneratorCPUSeconds float64 `json:"generator_cpu_seconds"`
	GeneratorCPURatio   float64 `json:"generator_cpu_ratio"`
	// Generator is what the generator adds by itself; nil where it was not
	// measured, and GeneratorUnknown then says why, if it was tried.
	Generator        *Generator `json:"generator,omitempty"`
	GeneratorUnknown string     `json:"generator_unknown,omitempty"`
}

// Calibration says where an arrival rate came from: it is Utilization divided
// by the median time that single warm-up requests took.
type Calibration struct {
	ServiceTimeMedianMs float64 `json:"service_time_median_ms"`
	Requests            int     `json:"requests"`
	Utilization         float64 `json:"utilization"`
}

// Interval is a two-sided confidence interval in the metric's own unit.
type Interval struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"`
	Method     string  `json:"method"`
}

// Target is what a metric should reach and whether it did.
type Target struct {
	Metric     string  `json:"metric"`
	Comparison string  `json:"comparison"` // "<" or ">"
	Value      float64 `json:"value"`
	Unit       string  `json:"unit"`
	Verdict    Verdict `json:"verdict"`
	Reason     string  `json:"reason"`
}

// Verdict is the answer to whether a target was reached.
type Verdict string

// The possible verdicts. A target is met or missed only when the whole
// confidence interval lies on one side of it.
const (
	Met       Verdict = "met"
	Missed    Verdict = "missed"
	Undecided Verdict = "undecided"
)
