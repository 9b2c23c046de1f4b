package collector

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/replay"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// BenchmarkReplay is the whole way of samples through user space: queued, put in
// order, resolved with a process's mappings, gathered and given out as a window. The
// stacks lie in this process's own executable, and nine in ten are new.
func BenchmarkReplay(b *testing.B) {
	const samples = 2000 // ten seconds at 99 Hz on two busy CPUs
	for _, frames := range []int{10, 50, 200} {
		b.Run(fmt.Sprintf("frames=%d", frames), func(b *testing.B) {
			binaries := process.NewBinaries()
			defer binaries.Close()
			self, ok := process.ScanOne(uint32(os.Getpid()), binaries)
			if !ok {
				b.Skip("this process's mappings cannot be read")
			}
			stacks := randomStacks(b, samples*9/10, frames)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				if got := replayOnce(self, samples, stacks); got != samples {
					b.Fatalf("%d samples came out, want %d", got, samples)
				}
			}
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N*samples), "B/sample")
		})
	}
}

// replayOnce replays one window of samples and counts what is in its profile.
func replayOnce(self process.Scanned, samples int, stacks [][]uint64) (seen int64) {
	windows := make(chan Window, 1)
	r := &replayer{
		queue: new(replay.Queue[any]), timeline: new(replay.Timeline), windows: windows,
		table:     process.NewTable([]process.Scanned{self}, nil),
		source:    cpu.Source{Unit: cpu.Nanoseconds},
		period:    10 * time.Millisecond,
		selection: Selection{All: true},
		wall:      func(monotonic uint64) time.Time { return time.Unix(0, int64(monotonic)) },
		unwinding: map[*process.Binary]*ends{}, memory: &memoryBudget{},
	}
	reading := func(at uint64) accounting.Reading {
		return accounting.Reading{Time: at, CPUs: map[int]accounting.Times{0: {}}}
	}
	r.queue.Push(0, boundary{reading: reading(0)})
	for i := range samples {
		at := uint64(i+1) * uint64(r.period)
		r.queue.Push(at, cpu.Sample{
			Stack: unwind.Stack{
				Walked: unwind.Walked{Time: at, Process: process.Identity{PID: self.PID, Start: 1}}, User: stacks[i%len(stacks)],
			},
			Thread: process.Thread{TID: self.PID, Name: "some", ProcessName: "some"}, Weight: uint64(r.period),
		})
	}
	end := uint64(samples+1) * uint64(r.period)
	r.queue.Push(end, boundary{reading: reading(end), kind: last})
	r.release(end + 1)
	for _, s := range (<-windows).Profiles[CPU].Sample {
		if len(s.NumLabel) > 0 { // not one that stands for a loss
			seen += s.Value[0]
		}
	}
	return seen
}

// randomStacks are addresses in this process's executable mappings.
func randomStacks(b *testing.B, count, frames int) [][]uint64 {
	b.Helper()
	proc, err := procfs.Self()
	if err != nil {
		b.Skip("needs /proc: ", err)
	}
	maps, err := proc.ProcMaps()
	if err != nil {
		b.Skip("needs /proc: ", err)
	}
	for _, m := range maps {
		if !m.Perms.Execute || m.Pathname == "" || m.Pathname[0] != '/' {
			continue
		}
		random := rand.New(rand.NewPCG(1, 2))
		stacks := make([][]uint64, count)
		for i := range stacks {
			for range frames {
				// Programs have far fewer call sites than bytes.
				site := random.Uint64N(4096) * uint64(m.EndAddr-m.StartAddr) / 4096
				stacks[i] = append(stacks[i], uint64(m.StartAddr)+site)
			}
		}
		return stacks
	}
	b.Skip("no executable file is mapped")
	return nil
}

// BenchmarkReplayWaits is the whole way of waits through user space once they are decoded: put in
// order, added with their stacks, and given out as a window.
func BenchmarkReplayWaits(b *testing.B) {
	const events = 2000
	for _, frames := range []int{10, 50} {
		b.Run(fmt.Sprintf("frames=%d", frames), func(b *testing.B) {
			binaries := process.NewBinaries()
			defer binaries.Close()
			self, ok := process.ScanOne(uint32(os.Getpid()), binaries)
			if !ok {
				b.Skip("this process's mappings cannot be read")
			}
			stacks := randomStacks(b, 100, frames)
			for b.Loop() {
				if got := replayWaits(self, events, stacks); got != events {
					b.Fatalf("%d waits came out, want %d", got, events)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/wait")
			b.ReportAllocs()
		})
	}
}

// replayWaits replays waits of a hundred threads at a hundred places, and counts them.
func replayWaits(self process.Scanned, events int, stacks [][]uint64) (seen int64) {
	windows := make(chan Window, 1)
	r := &replayer{
		queue: new(replay.Queue[any]), timeline: new(replay.Timeline), windows: windows,
		table: process.NewTable([]process.Scanned{self}, nil), source: cpu.Source{Unit: cpu.Nanoseconds},
		period: 10 * time.Millisecond, selection: Selection{All: true}, offCPU: newOffCPU(nil),
		wall:      func(monotonic uint64) time.Time { return time.Unix(0, int64(monotonic)) },
		unwinding: map[*process.Binary]*ends{}, memory: &memoryBudget{},
	}
	reading := func(at uint64) accounting.Reading {
		return accounting.Reading{Time: at, CPUs: map[int]accounting.Times{0: {}}}
	}
	r.queue.Push(0, boundary{reading: reading(0)})
	thread := process.Thread{Identity: process.Identity{PID: self.PID, Start: 1}, Name: "some", ProcessName: "some"}
	for i, stack := range stacks {
		r.queue.Push(1, wait.Stack{
			ID: window.StackID{1, uint64(i + 1)}, Thread: thread,
			Stack: unwind.Stack{Walked: unwind.Walked{Time: 1, Process: thread.Identity}, User: stack},
		})
	}
	for i := range events {
		at := uint64(100 + i*1000)
		thread.TID = self.PID + uint32(i%100)
		r.queue.Push(at+500, wait.Event{
			Thread: thread, Since: at, Woken: at + 400, Time: at + 500, Weight: 1, HasStack: true,
			Stack: window.StackID{1, uint64(i%len(stacks) + 1)}, Waker: wait.Waker{PID: self.PID, TID: self.PID + 1},
		})
	}
	end := uint64(events+1) * 1000
	r.queue.Push(end, boundary{reading: reading(end), kind: last})
	r.release(end + 1)
	for _, s := range (<-windows).Profiles[OffCPU].Sample {
		seen += s.Value[0]
	}
	return seen
}
