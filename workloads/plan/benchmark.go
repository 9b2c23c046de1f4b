package plan

import (
	"net/http"

	"github.com/narrows-profiler/narrows/workloads/agents"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/ryot"
	"github.com/narrows-profiler/narrows/workloads/sigmalang"
	"github.com/narrows-profiler/narrows/workloads/sigmavault"
)

// Benchmark is one row of the plan.
type Benchmark struct {
	Name string
	// Suite is "microbenchmarks", "macrobenchmarks" or "profiling".
	Suite string
	// Component is the service the benchmark is about, or "all".
	Component string
	// Services are those it needs up, in the order in which they start.
	Services []string
	// Iterations is how many measured requests it has unless told otherwise.
	Iterations int
	// Target is what it should reach, in words.
	Target string
	Run    load.Benchmark
	// Null is a service that answers this benchmark's requests at once, with
	// answers of the usual kind and size: what a run of the benchmark against it
	// takes is the generator's own. Where there is none, NoNull says why.
	Null   func() http.Handler
	NoNull string
	// Clients is how many a request has that work at once, 0 where it has but one.
	Clients int
	// Threads is how many a load generator of its own may run at once, 0 for as many as
	// there are CPUs. One is enough where a request is little work, and takes half the
	// CPU time that two would spend on waking each other; several clients, or texts of
	// megabytes, would wait for it.
	Threads int
}

// Benchmarks returns the plan in the order in which it runs.
func Benchmarks() []Benchmark {
	return []Benchmark{
		{
			Name: "FirstTokenLatencyBenchmark", Suite: "microbenchmarks", Component: ryot.Service,
			Services: []string{ryot.Service}, Iterations: 100,
			Target: "TTFT < 100 ms (95th percentile)", Run: ryot.FirstTokenLatency, Null: ryot.Null, Threads: 1,
		},
		{
			Name: "TokenGenerationBenchmark", Suite: "microbenchmarks", Component: ryot.Service,
			Services: []string{ryot.Service}, Iterations: 100,
			Target: "> 50 tokens/s (mean)", Run: ryot.TokenGeneration, Null: ryot.Null, Threads: 1,
		},
		{
			Name: "CompressionRatioBenchmark", Suite: "microbenchmarks", Component: sigmalang.Service,
			// 200 sets are a thousand samples of CPU time and more. Larger sets would be too,
			// but the null server is sent 300 whatever their size.
			Services: []string{sigmalang.Service}, Iterations: 200,
			Target: "> 3:1 (original / compressed, of English and code, without loss)", Run: sigmalang.CompressionRatio, Null: sigmalang.Null,
		},
		{
			Name: "CompressionThroughputBenchmark", Suite: "microbenchmarks", Component: sigmalang.Service,
			Services: []string{sigmalang.Service}, Iterations: 100,
			Target: "> 100 MB/s (mean)", Run: sigmalang.CompressionThroughput,
			NoNull: "a request is four texts of a megabyte, each timed by itself, and as many requests as a 99th percentile needs would take longer than the benchmark",
		},
		{
			Name: "RSUReadBenchmark", Suite: "microbenchmarks", Component: sigmavault.Service,
			Services: []string{sigmavault.Service}, Iterations: 300,
			Target: "p50 < 5 ms, p99 < 10 ms", Run: sigmavault.RSURead, Null: sigmavault.Null, Clients: sigmavault.Readers,
		},
		{
			Name: "RSUWriteBenchmark", Suite: "microbenchmarks", Component: sigmavault.Service,
			Services: []string{sigmavault.Service}, Iterations: 300,
			Target: "p50 < 10 ms, p99 < 20 ms", Run: sigmavault.RSUWrite, Null: sigmavault.Null, Clients: sigmavault.Writers,
		},
		{
			Name: "AgentTaskLatencyBenchmark", Suite: "microbenchmarks", Component: agents.Service,
			// A 99th percentile can be judged from 299 values on and has an interval on both
			// sides from 368; 500 tasks of 9 ms are a thousand samples of CPU time and more.
			Services: []string{agents.Service}, Iterations: 500,
			Target: "task < 50 ms (99th percentile)", Run: agents.TaskLatency, Null: agents.Null, Threads: 1,
		},
	}
}
