package session

import "time"

// SchemaVersion is the version of session.json's layout that this package
// writes, and the newest that it reads.
const SchemaVersion = 1

// The names of the session's profiles.
const (
	CPU       = "cpu.pb.gz"
	OffCPU    = "offcpu.pb.gz"
	LockWait  = "lock-wait.pb.gz"
	LockBlame = "lock-blame.pb.gz"
	LockHeld  = "lock-held.pb.gz"
	Alloc     = "alloc.pb.gz"
	Fault     = "fault.pb.gz"
	// KernelAlloc is what the kernel allocated for itself.
	KernelAlloc = "kernel-alloc.pb.gz"
	GPUIdle     = "gpu-idle.pb.gz"
)

// ProfileFile is the name of a signal's profile.
func ProfileFile(signal string) string { return signal + ".pb.gz" }

// Session is the content of session.json; its layout is described by
// docs/schema/session.schema.json. Times ending in "_ns" are nanoseconds.
type Session struct {
	SchemaVersion int `json:"schema_version"`
	Outcome
	Info
	Profiles []Profile `json:"profiles"`
	Summary

	dir       string
	recording bool
}

// Outcome says how far a recording got.
type Outcome struct {
	Status Status `json:"status"`
	// Reason says what ended the recording early; empty when it is complete.
	Reason string `json:"status_reason,omitempty"`
}

// Status is the state of a recording.
type Status string

// The states of a recording.
const (
	Recording   Status = "recording"   // the writer has not finished, or died
	Complete    Status = "complete"    // recorded as asked
	Interrupted Status = "interrupted" // ended early on request; what was there is kept
	Failed      Status = "failed"      // ended by an error, which Reason names
)

// Info is what is known when a recording starts.
type Info struct {
	NarrowsVersion string         `json:"narrows_version"`
	CommandLine    []string       `json:"command_line"`
	Configuration  map[string]any `json:"configuration"`
	Host           Host           `json:"host"`
	// Start is the wall clock, StartMonotonicNS the kernel's CLOCK_MONOTONIC at
	// the same moment: the clock of all events.
	Start            time.Time `json:"start"`
	StartMonotonicNS int64     `json:"start_monotonic_ns"`
	WindowSeconds    float64   `json:"window_seconds"`
}

// Host describes the machine that was recorded.
type Host struct {
	Hostname    string `json:"hostname"`
	Kernel      string `json:"kernel"`
	Machine     string `json:"machine"`
	CPUsOnline  int    `json:"cpus_online"`
	MemoryBytes uint64 `json:"memory_bytes"`
	BootID      string `json:"boot_id"`
	// BTF says whether the kernel publishes its types in /sys/kernel/btf/vmlinux.
	BTF bool `json:"btf"`
}

// Profile describes one of the session's pprof files.
type Profile struct {
	File    string `json:"file"`
	Windows int    `json:"windows"`
	// Entries is the number of distinct pairs of stack and labels in the file;
	// how many samples stand behind them is the total of the type counted.
	Entries     int          `json:"entries"`
	SampleTypes []SampleType `json:"sample_types"`
}

// SampleType is one of a profile's sample types and its sum over all entries,
// in the type's unit.
type SampleType struct {
	Type  string `json:"type"`
	Unit  string `json:"unit"`
	Total int64  `json:"total"`
}

// Summary is what is known when a recording ends.
type Summary struct {
	End            time.Time   `json:"end,omitzero"`
	EndMonotonicNS int64       `json:"end_monotonic_ns,omitempty"`
	Signals        []Signal    `json:"signals"`
	Accounting     *Accounting `json:"accounting"`
	Losses         []Loss      `json:"losses"`
	OwnCost        *OwnCost    `json:"own_cost"`
	Unwinding      []Unwinding `json:"unwinding"`
	Symbols        []Symbols   `json:"symbols"`
	Services       []Service   `json:"services"`
	Benchmarks     []Benchmark `json:"benchmarks"`
	// Calibration is what was known on this host before the recording, and how
	// Narrows saw it; empty if that was not tried.
	Calibration []Check `json:"calibration"`
	// Faults is all page faults of the machine; nil if they were not recorded.
	Faults *Faults `json:"faults,omitempty"`
	// Memory is what was allocated and what of it lives; nil if that was not recorded.
	Memory *Memory `json:"memory,omitempty"`
	// KernelMemory is the same of the kernel itself.
	KernelMemory *KernelMemory `json:"kernel_memory,omitempty"`
	Warnings     []string      `json:"warnings"`
}

// Faults is all page faults of the machine while it was recorded, and the bytes of memory that
// were taken for them; both are counted and not sampled. What was lost is in no stack. What is
// told of one stack may be off by a piece on each CPU: so many faults, or bytes.
type Faults struct {
	Faults      int64 `json:"faults"`
	Bytes       int64 `json:"bytes"`
	LostFaults  int64 `json:"lost_faults"`
	LostBytes   int64 `json:"lost_bytes"`
	PieceFaults int64 `json:"piece_faults"`
	PieceBytes  int64 `json:"piece_bytes"`
}

// Memory is what processes allocated while it was recorded, and what of it lived at the end:
// of the recording, of its process, or of the time in which that had probes.
type Memory struct {
	// MeanBytes is for how many bytes an allocation was recorded on average; 1: each.
	MeanBytes int64          `json:"mean_bytes"`
	Allocated MemoryEstimate `json:"allocated"`
	Live      MemoryEstimate `json:"live"`
	// Stacks are those of which most lives, the largest first.
	Stacks []MemoryStack `json:"stacks"`
}

// KernelMemory is what the kernel allocated for itself while it was recorded, and what of it
// lived at the end.
type KernelMemory struct {
	Memory
	// Objects and their bytes, and pages, are all that there were on the machine, recorded or
	// not. Pages for programs and the page cache are not among them.
	Objects     int64 `json:"objects"`
	ObjectBytes int64 `json:"object_bytes"`
	PageBytes   int64 `json:"page_bytes"`
	// UnseenPageBytes is pages that were taken many at a time, which has no tracepoint.
	UnseenPageBytes int64 `json:"unseen_page_bytes"`
	// SlabPageBytes is an estimate of the part of PageBytes that was taken to hold objects;
	// the profile does not have it again. SlabPageLiveBytes is what lived of it.
	SlabPageBytes     int64 `json:"slab_page_bytes"`
	SlabPageLiveBytes int64 `json:"slab_page_live_bytes"`
	// ProgramBytes is an estimate of what eBPF programs allocated, Narrows' own among them.
	ProgramBytes int64 `json:"ebpf_program_bytes"`
}

// MemoryStack is what one stack allocated.
type MemoryStack struct {
	Functions []string       `json:"functions"` // the innermost first
	Allocated MemoryEstimate `json:"allocated"`
	Live      MemoryEstimate `json:"live"`
}

// MemoryEstimate is a number of bytes with its 95 % interval, the number of blocks, and how
// many recorded ones stand behind it.
type MemoryEstimate struct {
	Bytes     int64 `json:"bytes"`
	LowBytes  int64 `json:"low_bytes"`
	HighBytes int64 `json:"high_bytes"`
	Objects   int64 `json:"objects"`
	Samples   int64 `json:"samples"`
}

// Signal says how one signal was recorded: the backend that was taken, why, and
// what was tried before it.
type Signal struct {
	Signal  string    `json:"signal"`
	Backend string    `json:"backend"`
	Why     string    `json:"why"`
	Tried   []Attempt `json:"tried"`
}

// Attempt is a backend that did not work on this host.
type Attempt struct {
	Backend string `json:"backend"`
	Error   string `json:"error"`
}

// Accounting compares the CPU time that the kernel counted with the CPU time
// that the samples stand for.
type Accounting struct {
	Total          Time      `json:"total"`
	ByCPUAndWindow []CPUTime `json:"by_cpu_and_window"`
}

// CPUTime is the accounting of one CPU during one window.
type CPUTime struct {
	CPU    int `json:"cpu"`
	Window int `json:"window"`
	Time
}

// Time is CPU time as expected and as seen.
type Time struct {
	// ExpectedNS is the non-idle CPU time by the kernel's own count, SeenNS the
	// weight of the samples taken, LostNS the difference.
	ExpectedNS int64 `json:"expected_ns"`
	SeenNS     int64 `json:"seen_ns"`
	LostNS     int64 `json:"lost_ns"`
	// StealNS is time that a hypervisor gave to others; no sample can see it.
	StealNS int64 `json:"steal_ns"`
	// TickingNS is the unseen time that the sampler's own interrupts on idle CPUs
	// explain: busy by the kernel's count, but not in ExpectedNS.
	TickingNS int64 `json:"ticking_ns"`
	IdleNS    int64 `json:"idle_ns"`
	Samples   int64 `json:"samples"`
}

// Loss counts what one reason cost.
type Loss struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
	Where  string `json:"where"`
}

// OwnCost is what the recording itself took from the machine.
type OwnCost struct {
	CPUUserSeconds   float64 `json:"cpu_user_seconds"`
	CPUSystemSeconds float64 `json:"cpu_system_seconds"`
	// EBPFRunSeconds and EBPFRuns are the kernel's run-time statistics of the
	// loaded programs, which CPUUserSeconds and CPUSystemSeconds do not hold.
	EBPFRunSeconds float64 `json:"ebpf_run_seconds"`
	EBPFRuns       int64   `json:"ebpf_runs"`
	// WaitRunSeconds and WaitRuns are the same of the programs that watch switches and
	// wake-ups, which run in no interrupt of their own.
	WaitRunSeconds float64 `json:"wait_run_seconds"`
	WaitRuns       int64   `json:"wait_runs"`
	// FutexRunSeconds and FutexRuns are the same of the programs that watch futex calls.
	FutexRunSeconds float64 `json:"futex_run_seconds"`
	FutexRuns       int64   `json:"futex_runs"`
	// AllocRunSeconds and AllocRuns are the same of the programs at allocators.
	AllocRunSeconds float64 `json:"alloc_run_seconds,omitempty"`
	AllocRuns       int64   `json:"alloc_runs,omitempty"`
	// FaultRunSeconds and FaultRuns are the same of the programs that watch page faults and
	// pages being taken. Older sessions do not have them.
	FaultRunSeconds float64 `json:"fault_run_seconds,omitempty"`
	FaultRuns       int64   `json:"fault_runs,omitempty"`
	// KernelAllocRunSeconds and KernelAllocRuns are the same of the programs that watch the
	// kernel's own allocations, where they are recorded.
	KernelAllocRunSeconds float64 `json:"kernel_alloc_run_seconds,omitempty"`
	KernelAllocRuns       int64   `json:"kernel_alloc_runs,omitempty"`
	// InterruptSeconds is what the interrupts that ran the programs took, EBPFRunSeconds
	// included: EBPFRuns times what one was measured to cost when the recording began.
	// 0 if that could not be told.
	InterruptSeconds float64 `json:"interrupt_seconds"`
	PeakMemoryBytes  int64   `json:"peak_memory_bytes"`
}

// Unwinding counts how the stacks whose innermost user frame lies in one binary
// ended.
type Unwinding struct {
	File     string `json:"file"`
	BuildID  string `json:"build_id"`
	Complete int64  `json:"complete"`
	// InUserSpace is how many of the complete ones were walked, or walked to their end,
	// in a copy of the stack, because the kernel did not know enough yet.
	InUserSpace int64            `json:"in_user_space"`
	Truncated   map[string]int64 `json:"truncated"` // by reason
}

// Symbols counts the frames of one binary that got a name.
type Symbols struct {
	File    string           `json:"file"`
	BuildID string           `json:"build_id"`
	Named   int64            `json:"named"`
	Unnamed map[string]int64 `json:"unnamed"` // by reason
}

// Service is a process group that the session's service label names.
type Service struct {
	Name       string `json:"name"`
	PID        int    `json:"pid"`
	TargetKind string `json:"target_kind"` // reference or external
	URL        string `json:"url"`
}

// Benchmark is the time that one benchmark ran, or one phase of it where Phase
// is set.
type Benchmark struct {
	Benchmark string    `json:"benchmark"`
	Phase     string    `json:"phase,omitempty"`
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
}
