package window

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// BenchmarkBuilder gathers a window of kernel stacks, four in five of them new, and
// gives out its profile.
func BenchmarkBuilder(b *testing.B) {
	const samples = 2000
	for _, frames := range []int{10, 50, 200} {
		b.Run(fmt.Sprintf("frames=%d", frames), func(b *testing.B) {
			stacks := randomStacks(samples*4/5, frames)
			count := &profile.ValueType{Type: "samples", Unit: "count"}
			for b.Loop() {
				builder := NewBuilder(Period{}, count)
				for i := range samples {
					builder.Add(Labels{Process: "some", Thread: "thread", State: "running", PID: 1, TID: 2}, stacks[i%len(stacks)], 1)
				}
				if p := builder.Profile(time.Unix(0, 0), time.Second); len(p.Sample) != len(stacks) {
					b.Fatalf("%d stacks, want %d", len(p.Sample), len(stacks))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
			b.ReportAllocs()
		})
	}
}

// randomStacks are paths through a tree of calls, each function with two callees.
func randomStacks(count, frames int) [][]Frame {
	random := rand.New(rand.NewPCG(1, 2))
	stacks := make([][]Frame, count)
	for i := range stacks {
		stacks[i] = make([]Frame, frames)
		for depth := range frames { // from the root, which is last
			choices := min(uint64(depth)*2+1, 32)
			stacks[i][frames-1-depth] = Frame{Address: kernelStart + uint64(depth)<<20 + 16*random.Uint64N(choices)}
		}
	}
	return stacks
}
