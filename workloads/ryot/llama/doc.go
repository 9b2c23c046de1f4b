// Package llama computes the Llama architecture in plain Go: what the reference
// service for language-model inference runs, so that a profile of it shows the
// places where real inference spends its time.
//
// A [Model] is made of a [Config] and [Weights], either pseudo-random ones of a
// chosen shape ([SeededWeights]) or a llama2.c checkpoint ([ReadCheckpoint]). A
// [Tokenizer] turns text into tokens; [Model.NewSequence] gives a [Sequence], the
// state of one conversation with its key-value cache; [Sequence.Generate] takes
// prompt tokens and yields new ones chosen by a [Sampler]; a [Decoder] turns
// those back into text.
//
// The architecture is that of LLaMA (Touvron et al. 2023, arXiv:2302.13971):
// RMSNorm before each block (Zhang and Sennrich 2019, arXiv:1910.07467), rotary
// positions (Su et al. 2021, arXiv:2104.09864), SwiGLU feed-forward (Shazeer
// 2020, arXiv:2002.05202) and grouped-query attention (Ainslie et al. 2023,
// arXiv:2305.13245).
//
// A Model is read-only and serves any number of sequences at once; a sequence
// belongs to one goroutine and computes on one core.
package llama
