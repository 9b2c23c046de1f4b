package rank

import "github.com/narrows-profiler/narrows/workloads/metrics"

// SchemaVersion is the version of bottleneck_report.json's layout, and ProfileSchemaVersion
// that of profiles/<service>.json.
const (
	SchemaVersion        = 2
	ProfileSchemaVersion = 1
)

// Report is the content of bottleneck_report.json; its layout is described by
// docs/schema/bottleneck_report.schema.json. Shares are between 0 and 1, fields
// ending in "_ns" are nanoseconds of CPU time.
type Report struct {
	SchemaVersion int    `json:"schema_version"`
	Profile       string `json:"profile"` // the session's file that was ranked
	// Windows is the number of window profiles that were added up.
	Windows    int     `json:"windows"`
	MinSamples int64   `json:"min_samples"`
	Confidence float64 `json:"confidence"`
	// Compared says in words what the order rests on.
	Compared string     `json:"compared"`
	Priority []Rule     `json:"priority_rules"`
	SeenNS   int64      `json:"seen_ns"`
	Samples  int64      `json:"samples"`
	Lost     []Lost     `json:"lost"`
	Outside  Outside    `json:"outside"`
	Ranked   []Measured `json:"benchmarks"`
	// Top holds the foremost bottlenecks of all services and benchmarks, each
	// function of a service once.
	Top []Bottleneck `json:"top"`
}

// Rule is a line of the table that sets priorities; see the package's text.
type Rule struct {
	ShareAtLeast float64  `json:"share_at_least"`
	Missed       Priority `json:"target_missed"`
	Undecided    Priority `json:"target_undecided_or_none"`
	Met          Priority `json:"target_met"`
}

// Lost is CPU time that no sample describes, by reason. Share is its part of
// seen and lost time together.
type Lost struct {
	Reason string  `json:"reason"`
	NS     int64   `json:"ns"`
	Share  float64 `json:"share"`
}

// Outside is the CPU time that was sampled but not ranked, because no benchmark
// ran.
type Outside struct {
	NS    int64   `json:"ns"`
	Share float64 `json:"share"` // of seen time
}

// Measured is one benchmark: its outcome and its services. Benchmark is empty
// for a recording in which no benchmark ran.
type Measured struct {
	Benchmark string `json:"benchmark"`
	// Status is the metrics document's, empty without one.
	Status  metrics.Status  `json:"status"`
	Verdict metrics.Verdict `json:"verdict"`
	// VerdictReason says which targets the verdict rests on.
	VerdictReason string           `json:"verdict_reason"`
	Targets       []metrics.Target `json:"targets"`
	// RecordedNS is the CPU time of all recorded processes during the benchmark:
	// the machine's, if the whole machine was recorded.
	RecordedNS int64 `json:"recorded_ns"`
	// WallSeconds is how long the benchmark ran, null if that was not recorded; then no
	// share of its time is known. TimeDenominator says in words what such shares are.
	WallSeconds     *float64 `json:"wall_seconds"`
	TimeDenominator string   `json:"time_denominator"`
	// CPUsBusy is the part of all CPUs' time that was used, null if unknown.
	CPUsBusy *float64 `json:"cpus_busy"`
	// LoadModel is the metrics document\'s: open-loop or closed-loop, empty without one.
	LoadModel       string `json:"load_model"`
	RecordedSamples int64  `json:"recorded_samples"`
	// NoServiceNS is the part of RecordedNS that belongs to no service.
	NoServiceNS int64     `json:"no_service_ns"`
	Services    []Service `json:"services"`
}

// Service is what one service used during one benchmark. Service is empty for a
// recording without services: then it is all processes.
type Service struct {
	Service       string  `json:"service"`
	CPUNS         int64   `json:"cpu_ns"`
	Samples       int64   `json:"samples"`
	RecordedShare float64 `json:"recorded_share"` // of the benchmark's RecordedNS
	// Denominator says in words what shares below are shares of.
	Denominator string `json:"denominator"`
	LostNS      int64  `json:"lost_ns"`      // lost weight labelled with this service
	TruncatedNS int64  `json:"truncated_ns"` // stacks that do not reach the root
	NoStackNS   int64  `json:"no_stack_ns"`  // samples without any frame
	// Places counts the functions seen; those below MinSamples are not shown.
	Places           int          `json:"places"`
	SuppressedPlaces int          `json:"suppressed_places"`
	SuppressedNS     int64        `json:"suppressed_ns"`
	Bottlenecks      []Bottleneck `json:"bottlenecks"`
	// ByTime lists places that use the CPU and places that wait by their share of the
	// benchmark's time; Unranked is the waiting that is in none of them.
	ByTime   []Entry    `json:"by_time"`
	Unranked []Unranked `json:"unranked_waits"`
}

// Signal is what a place shows in.
type Signal string

// The signals.
const (
	CPU      Signal = "cpu"
	Lock     Signal = "lock"
	OffCPU   Signal = "off-cpu"
	Runnable Signal = "runnable"
	Heap     Signal = "memory"
)

// Entry is a place of any kind. Waits for locks and the doings of those who hold them are
// the same seconds seen from two sides: only the former count.
type Entry struct {
	Benchmark string `json:"benchmark"`
	Service   string `json:"service"`
	Signal    Signal `json:"signal"`
	// What is "CPU", the kind of the lock, the state of a thread that waits, or what most of
	// the time of memory is spent on.
	What     string `json:"what"`
	Function string `json:"function"` // that computes, waits, or takes memory
	Binary   string `json:"binary"`   // of a function that computes or takes memory
	Lock     string `json:"lock"`     // its ID where the place is one lock
	NS       int64  `json:"ns"`
	Count    int64  `json:"count"` // of samples or waits
	// TimeShare is seconds for each second of the benchmark: above 1 where several
	// threads compute or wait at the same time.
	TimeShare float64 `json:"time_share"`
	Of        string  `json:"of"`
	// Holders are the functions that let the lock go, or ended the wait. Held is what
	// holders did, by state, or what the time of memory went to; HeldBasis says how that is known.
	Holders        []Part            `json:"holders"`
	Held           []Part            `json:"held"`
	HeldBasis      string            `json:"held_basis"`
	Memory         *Memory           `json:"memory"` // that was taken, null if that is not known
	Cause          string            `json:"cause"`
	CauseReason    string            `json:"cause_reason"`
	Payoff         *Payoff           `json:"payoff"`
	Priority       Priority          `json:"priority"`
	PriorityReason string            `json:"priority_reason"`
	Stacks         []Stack           `json:"stacks"`
	Evidence       string            `json:"evidence"`
	AlsoIn         []EntryElsewhere  `json:"also_in"`
	Unavailable    map[string]string `json:"unavailable"`
}

// Memory is what a function took: by allocations in the whole recording, and by page faults
// while the benchmark ran.
type Memory struct {
	AllocatedBytes   int64 `json:"allocated_bytes"`
	AllocatedObjects int64 `json:"allocated_objects"`
	LiveBytes        int64 `json:"live_bytes"` // of them, at the recording's end
	Faults           int64 `json:"faults"`
	ResidentBytes    int64 `json:"resident_bytes"`
}

// Part is a part of the time that others waited, or that memory took.
type Part struct {
	What  string  `json:"what"`
	NS    int64   `json:"ns"`
	Share float64 `json:"share"`
}

// EntryElsewhere is the same place in another benchmark.
type EntryElsewhere struct {
	Benchmark string  `json:"benchmark"`
	TimeShare float64 `json:"time_share"`
}

// Unranked is waiting that is in no place, and why.
type Unranked struct {
	Reason string `json:"reason"`
	NS     int64  `json:"ns"`
}

// Bottleneck is a function that used CPU time itself.
type Bottleneck struct {
	Title     string `json:"title"`
	Benchmark string `json:"benchmark"`
	Service   string `json:"service"`
	Function  string `json:"function"`
	Binary    string `json:"binary"`
	// File and Line are the source line with most of the function's own time;
	// empty and 0 where the binary has no line numbers.
	File          string   `json:"file"`
	Line          int64    `json:"line"`
	SelfNS        int64    `json:"self_ns"`
	Samples       int64    `json:"samples"`
	Share         float64  `json:"share"`          // of the service's CPU time in the benchmark
	Interval      Interval `json:"interval"`       // of Share
	RecordedShare float64  `json:"recorded_share"` // of the benchmark's RecordedNS
	// TimeShare is CPU seconds for each second of the benchmark, null if it is not known
	// how long that ran.
	TimeShare *float64 `json:"time_share"`
	// TotalNS is the time of all stacks the function is in, each counted once.
	TotalNS        int64    `json:"total_ns"`
	Payoff         Payoff   `json:"payoff"`
	Priority       Priority `json:"priority"`
	PriorityReason string   `json:"priority_reason"`
	// Callers split SelfNS by the next function outwards.
	Callers []Caller `json:"callers"`
	Phases  []Phase  `json:"phases"`
	// Stacks are the most frequent ones, innermost function first.
	Stacks []Stack `json:"stacks"`
	// Evidence is a command that shows the place in the session's profile.
	Evidence string `json:"evidence"`
	// AlsoIn is filled in Report.Top: the other benchmarks in which the same
	// function of the same service has at least MinSamples samples.
	AlsoIn []Elsewhere `json:"also_in"`

	EffortDays  *float64          `json:"effort_days"`
	ROI         *float64          `json:"roi"`
	Risk        *string           `json:"risk"`
	Unavailable map[string]string `json:"unavailable"`
}

// Interval is a two-sided confidence interval of a share.
type Interval struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"`
	Method     Method  `json:"method"`
	// Replicates is the number of windows (or pools of small ones) behind a
	// ratio, and of samples behind Wilson's interval.
	Replicates int64 `json:"replicates"`
}

// Method is how an interval was computed.
type Method string

// The methods of intervals.
const (
	RatioOverWindows Method = "ratio over windows"
	WilsonOfSamples  Method = "Wilson, samples taken as independent"
)

// Payoff is the most that a perfect fix could bring, by Amdahl's law.
type Payoff struct {
	// SavingAtMost is the share of Of that is saved if the place is made free.
	SavingAtMost float64 `json:"saving_at_most"`
	// SpeedupAtMost is 1/(1-SavingAtMost), null where it has no bound.
	SpeedupAtMost *float64 `json:"speedup_at_most"`
	Of            string   `json:"of"`
	Statement     string   `json:"statement"`
}

// Caller is a function that the place was called by.
type Caller struct {
	Function string  `json:"function"`
	Share    float64 `json:"share"` // of the place's own time
	Samples  int64   `json:"samples"`
}

// Phase is the place's part of one phase of the benchmark.
type Phase struct {
	Phase   string  `json:"phase"` // empty where samples name none
	SelfNS  int64   `json:"self_ns"`
	Samples int64   `json:"samples"`
	Share   float64 `json:"share"` // of the service's CPU time in the phase
}

// Stack is a distinct chain of functions, innermost first.
type Stack struct {
	Functions []string `json:"functions"`
	Share     float64  `json:"share"` // of the place's own time
	Samples   int64    `json:"samples"`
}

// Elsewhere is the same place in another benchmark.
type Elsewhere struct {
	Benchmark string   `json:"benchmark"`
	Share     float64  `json:"share"`
	Interval  Interval `json:"interval"`
}

// Priority says how urgent a bottleneck is.
type Priority string

// The priorities, most urgent first.
const (
	Critical Priority = "CRITICAL"
	High     Priority = "HIGH"
	Medium   Priority = "MEDIUM"
	Low      Priority = "LOW"
)
