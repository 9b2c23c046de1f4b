package goheap

import (
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/process"
)

// gathered adds up what a watcher gives out, by the size of the objects.
type gathered struct {
	mu   sync.Mutex
	sums map[int64][4]int64
}

func (g *gathered) add(growth Growth) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range growth.Samples {
		sum := g.sums[s.Size]
		for i, v := range s.Values {
			sum[i] += v
		}
		g.sums[s.Size] = sum
	}
}

// allocated is what there was of the sizes that others have.
func (g *gathered) allocated(others map[int64][4]int64) map[int64][2]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	sums := map[int64][2]int64{}
	for size := range others {
		sums[size] = [2]int64{g.sums[size][0], g.sums[size][1]}
	}
	return sums
}

// large adds up a profile's objects of 32 KB, of which the program allocates none to write
// the profile.
func large(p *profile.Profile) (sums map[int64][4]int64, allocated map[int64][2]int64) {
	sums, allocated = map[int64][4]int64{}, map[int64][2]int64{}
	for _, s := range p.Sample {
		size := s.NumLabel["bytes"]
		if len(size) == 0 || size[0] != 32<<10 {
			continue
		}
		sum := sums[size[0]]
		for i, v := range s.Value {
			sum[i] += v
		}
		sums[size[0]], allocated[size[0]] = sum, [2]int64{sum[0], sum[1]}
	}
	return sums, allocated
}

// TestWatcher watches a program from its beginning to its end, by a kill: nothing counts
// twice, and what it had in use at the last reading comes with its end.
func TestWatcher(t *testing.T) {
	binaries := process.NewBinaries()
	defer binaries.Close()
	got := &gathered{sums: map[int64][4]int64{}}
	w, err := Watch(func(pid uint32) (process.Scanned, bool) { return process.ScanOne(pid, binaries) }, got.add)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	time.Sleep(2 * tick) // /proc does not tell times apart that are closer
	killed, err := launch(buildGo(t, "goheap", "local", nil, "-ldflags=-s -w"), t.TempDir(), "RATE=1")
	if err != nil {
		t.Fatal(err)
	}
	pid := uint32(killed.cmd.Process.Pid)
	w.Attach(pid)
	killed.says(t, "allocated")
	want, allocated := large(killed.written(t))
	if len(want) != 1 {
		t.Fatalf("the program's own profile has %v", want)
	}
	w.Replace(pid) // word of the exec that is over
	w.Attach(pid)
	for range 100 {
		if maps.Equal(got.allocated(want), allocated) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed.cmd.Wait() // it was killed
	w.Detach(pid)
	w.Stop()
	for size, values := range want {
		if got.sums[size] != values {
			t.Errorf("objects of %d bytes: %v, want %v", size, got.sums[size], values)
		}
	}
	targets := w.Targets()
	if len(targets) != 1 || targets[0].Err != nil || targets[0].PID != pid || targets[0].Name != "goheap" || targets[0].Readings == 0 || w.Dropped() != 0 {
		t.Errorf("%+v", targets)
	}
}
