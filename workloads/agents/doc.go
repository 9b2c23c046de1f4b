// Package agents holds the benchmark of agent collectives, [TaskLatency]. It drives
// any service with the interface of the reference service (package server): most tasks
// go to an agent by its name, some through the router with an @NAME, some are answered
// as a stream of events. Each task has a text of its own, and the answers are judged.
//
// While exactly one task is in flight the phase is how it was sent, "invoke", "copilot"
// or "stream"; otherwise it is load.Mixed, and during the warm-up load.Warmup.
package agents

// Fields names the metrics of the benchmark beyond the required ones. Times count from
// a task's intended start to the end of its answer:
//
//   - task_mean_ms, task_p50_ms, task_p95_ms, task_p99_ms: of all tasks.
//   - tasks_per_second: valid answers by the length of the measured phase.
//   - invoke_p50_ms, copilot_p50_ms, stream_p50_ms: of the tasks that were sent so.
//   - queue_depth_mean, queue_depth_max: how many tasks waited when one came, where the
//     service tells it.
//   - answer_bytes_mean: the length of an answer's text.
//   - peak_memory_mb: the peak resident memory of the service's process tree since its
//     start, in 10^6 bytes.
func Fields() []string {
	return []string{
		"invoke_p50_ms", "copilot_p50_ms", "stream_p50_ms",
		"queue_depth_mean", "queue_depth_max", "answer_bytes_mean",
	}
}
