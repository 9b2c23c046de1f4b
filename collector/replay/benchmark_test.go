package replay

import (
	"fmt"
	"testing"
)

// BenchmarkQueue passes events of two CPUs, a little out of order, through a queue
// that holds two seconds of them.
func BenchmarkQueue(b *testing.B) {
	const cpus, second = 2, 1_000_000_000
	for _, frequency := range []uint64{99, 999} {
		b.Run(fmt.Sprintf("held=%d", cpus*2*frequency), func(b *testing.B) {
			type event struct{ payload [16]uint64 } // about a CPU sample
			var q Queue[any]
			step := second / frequency / cpus
			now, released := uint64(0), 0
			for b.Loop() {
				now += step
				q.Push(now-(now/step%2)*step/2*3, event{payload: [16]uint64{now}})
				q.Release(now-min(now, 2*second), func(uint64, any) { released++ })
			}
			b.ReportAllocs()
			if b.N > 10_000 && released == 0 {
				b.Fatal("nothing came out")
			}
		})
	}
}
