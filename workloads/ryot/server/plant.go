package server

import (
	"github.com/narrows-profiler/narrows/workloads/plant"
	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
)

const (
	columnwiseMatmul = "columnwise-matmul"
	promptLogits     = "prompt-logits"
)

// Faults are the bottlenecks that the service can be started with.
func Faults() []plant.Fault {
	return []plant.Fault{
		{
			Name: columnwiseMatmul, Place: "llama.matmulColumnwise", Signal: plant.CPU,
			Benchmark: "TokenGenerationBenchmark", Metric: "tokens_per_second",
			Fault: "Matrix products go through the weights column by column, each step into another cache line.",
			Fix:   "The weights are read in the order in which they lie in memory, six sums at a time.",
		},
		{
			Name: promptLogits, Place: "llama.matmulVector", Through: "llama.(*Sequence).logits", Signal: plant.CPU,
			Benchmark: "FirstTokenLatencyBenchmark", Metric: "ttft_p50_ms",
			Fault: "The language-model head is computed for every token of a prompt, and all but the last result thrown away.",
			Fix:   "The head is computed for the last token alone.",
		},
	}
}

// planted is the model with the chosen fault.
func planted(m *llama.Model, choice plant.Choice) *llama.Model {
	return m.Wasting(llama.Wasteful{
		ColumnwiseMatmul: choice.Has(columnwiseMatmul),
		LogitsOfPrompt:   choice.Has(promptLogits),
	})
}
