package server

import "github.com/narrows-profiler/narrows/workloads/plant"

// The names of the faults.
const (
	passageScan   = "passage-scan"
	tooFewWorkers = "too-few-workers"
	loggingMutex  = "logging-mutex"

	unbufferedFindings = "unbuffered-findings"
	boxedMatrix        = "boxed-matrix"
	keptTranscripts    = "kept-transcripts"
)

// crowd is how many workers a core has where the fault is what they share, with the fault and
// with its fix: with one for each core the other tasks would wait for a worker, and few for
// what is shared.
const crowd = 4

// Faults lists the bottlenecks that the service can be started with.
func Faults() []plant.Fault {
	return []plant.Fault{
		{
			Name: passageScan, Place: "knowledge.(*Ranker).scanPassages", Signal: plant.CPU,
			Benchmark: "AgentTaskLatencyBenchmark", Metric: "task_p50_ms",
			Fault: "Each search looks for each of its terms in every passage, so it costs terms times words.",
			Fix:   "An inverted index gives the passages that have a term.",
		},
		{
			Name: tooFewWorkers, Place: "server.(*queue).awaitWorker", Signal: plant.OffCPU,
			Benchmark: "AgentTaskLatencyBenchmark", Metric: "task_p95_ms",
			Fault: "One worker serves all tasks, so that they wait for it while other cores are idle. What waits are goroutines: a CPU profile shows the same functions as without the fault. On one core there is no difference.",
			Fix:   "As many workers as cores.",
		},
		{
			Name: loggingMutex, Place: "server.(*lineLog).begin", Signal: plant.Lock,
			Benchmark: "AgentTaskLatencyBenchmark", Metric: "task_p50_ms",
			Fault: "Four workers for each core serve tasks. A line for every passage that a search scores is formatted and written, each by a system call, and the lines of a search are kept together by the log's lock, so that one task is searched for at a time.",
			Fix:   "One line for a task, through a buffer whose lock is held for a copy into memory.",
		},
		{
			Name: unbufferedFindings, Place: "server.(*leagueTable).report", Signal: plant.Lock,
			Benchmark: "AgentTaskLatencyBenchmark", Metric: "task_p50_ms",
			Fault: "Four workers for each core serve tasks, and each passage that a search finds is sent over an unbuffered channel to the one goroutine that keeps a table of the passages found most often. It sorts the table before it takes the next one, so that all searches wait for it at each passage.",
			Fix:   "Searches count in counters that nobody waits for, and the table is sorted when it is asked for.",
		},
		{
			Name: boxedMatrix, Place: "knowledge.boxRow", Signal: plant.Alloc,
			Benchmark: "AgentTaskLatencyBenchmark", Metric: "task_p50_ms",
			Fault: "The 48 passages that fit a task best are compared with it in matrices of objects on the heap, which the garbage collector looks at one by one; a search keeps all of them until it ends.",
			Fix:   "One row of plain numbers serves all searches of a worker.",
		},
		{
			Name: keptTranscripts, Place: "server.(*transcripts).keep", Signal: plant.Leak,
			Benchmark: "AgentTaskLatencyBenchmark",
			Fault:     "What was asked and answered is kept for a later task to go on with, 64 KiB for each task, and nothing ever forgets it.",
			Fix:       "Nothing is kept.",
		},
	}
}
