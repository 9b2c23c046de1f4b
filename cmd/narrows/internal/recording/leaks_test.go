package recording

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/collector"
)

// ways are the functions of testdata/allocs/ways.h; the last three are of C++.
var ways = []string{"by_malloc", "by_calloc", "by_realloc", "by_memalign", "by_aligned_alloc", "by_posix_memalign", "by_new", "by_new_array", "by_new_aligned"}

// leakFor is how long programs leak.
const leakFor = 6 * time.Second

// recordLeaks records programs that work at the same time, and returns what each says that it has
// kept, and what is said of memory.
func recordLeaks(t *testing.T, mean uint64, programs ...*allocProgram) ([]allocated, *memory.Document) {
	t.Helper()
	rec, sink := startRecordingAllocs(t, mean, 1e6, programs...)
	for _, p := range programs {
		p.begin()
	}
	time.Sleep(leakFor)
	for _, p := range programs {
		p.begin() // with what it says
	}
	var truths []allocated
	for _, p := range programs {
		for _, truth := range p.did(t) {
			truths = append(truths, truth)
		}
	}
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	d := memory.Judge(int64(mean), nil)
	if sink.live != nil {
		d = liveSites(sink.live, int64(mean))
	}
	t.Log("\n" + DescribeLeaks(d) + Describe(summary))
	for _, p := range programs {
		p.end(t)
	}
	return truths, d
}

// placesOf are those of a process, in the order of the document.
func placesOf(d *memory.Document, p *allocProgram) (places []memory.LivePlace) {
	for _, s := range d.Sites {
		if s.PID == uint32(p.cmd.Process.Pid) {
			places = append(places, s)
		}
	}
	return places
}

// TestLeaks: of programs each of which leaks by another function, beside much that they free,
// the leak is named first with its size; nothing else is called a leak.
func TestLeaks(t *testing.T) {
	requireRoot(t)
	path := buildOfAllocs(t, "leaks.c", "g++", "-x", "c++", "-std=c++17")
	for _, mean := range []uint64{1, 4096} {
		t.Run(fmt.Sprint("one for each ", mean, " bytes"), func(t *testing.T) {
			var programs []*allocProgram
			for i, way := range ways {
				programs = append(programs, startOfAllocs(t, path, "", fmt.Sprint(i+1), "leak", way, "0"))
			}
			truths, d := recordLeaks(t, mean, programs...)
			inside := 0
			for i, p := range programs {
				places, truth := placesOf(d, p), truths[i]
				if len(places) == 0 || places[0].Verdict != memory.Leak || !slices.Contains(plain(places[0].Functions), ways[i]) ||
					!slices.Contains(plain(places[0].Functions), "keep") || len(places) > 1 && places[1].Verdict == memory.Leak {
					t.Errorf("%s leaks %d bytes: %+v", ways[i], truth.liveBytes, places)
					continue
				}
				l := places[0]
				t.Logf("%s: %d bytes, %+v, age %+v, growth %+v", ways[i], truth.liveBytes, l.Live, *l.Age, *l.Growth)
				if within(l.Live, truth.liveBytes) {
					inside++
				}
				if mean == 1 && (l.Live.Bytes != truth.liveBytes || l.Live.Objects != truth.liveObjects) {
					t.Errorf("%s leaks %+v, said is %+v", ways[i], truth, l.Live)
				}
				// It leaks at an even pace, from soon after it is followed on.
				if l.Age.OldestSeconds > l.FollowedSeconds || l.Age.OldestSeconds < 0.8*leakFor.Seconds() ||
					l.Age.MedianSeconds < 0.3*l.Age.OldestSeconds || l.Age.MedianSeconds > 0.7*l.Age.OldestSeconds {
					t.Errorf("%s leaked for %v, said is %+v of %v s", ways[i], leakFor, *l.Age, l.FollowedSeconds)
				}
				if l.Growth.Bytes < truth.liveBytes/2 || l.Growth.Bytes > truth.liveBytes {
					t.Errorf("%s leaks %d bytes, said to be more than after a quarter of the time by %+v", ways[i], truth.liveBytes, l.Growth)
				}
			}
			// Each lies in its interval by 95 %: of nine less than six practically never.
			if inside < 6 || mean == 1 && inside < len(ways) {
				t.Errorf("of %d sizes %d lie in their intervals", len(ways), inside)
			}
		})
	}
}

// plain are names without their parameters.
func plain(functions []string) (names []string) {
	for _, f := range functions {
		name, _, _ := strings.Cut(f, "(")
		names = append(names, name)
	}
	return names
}

// TestNoLeak: what frees everything in the end, and what fills a cache, leaks nothing.
func TestNoLeak(t *testing.T) {
	requireRoot(t)
	path := buildOfAllocs(t, "leaks.c", "gcc")
	var programs []*allocProgram
	plans := []string{"cache", "free"}
	for i := range 6 {
		programs = append(programs, startOfAllocs(t, path, "", fmt.Sprint(i+1), plans[i%2], ways[i], "2000"))
	}
	truths, d := recordLeaks(t, 1, programs...)
	if leaks := d.Leaks(); len(leaks) > 0 {
		t.Errorf("said to leak: %+v", leaks)
	}
	for i, p := range programs {
		var kept int64
		for _, s := range placesOf(d, p) {
			if slices.Contains(plain(s.Functions), "keep") {
				kept += s.Live.Bytes
			}
		}
		if kept != truths[i].liveBytes || (plans[i%2] == "cache") != (kept > 0) {
			t.Errorf("%s by %s: %d bytes live, said to be %d", plans[i%2], ways[i], truths[i].liveBytes, kept)
		}
	}
	t.Logf("verdicts: %v", verdicts(d))
}

func verdicts(d *memory.Document) map[memory.Verdict]int {
	counts := map[memory.Verdict]int{}
	for _, s := range d.Sites {
		counts[s.Verdict]++
	}
	return maps.Clone(counts)
}

// TestGoLeak: of two Go programs with a cache and much garbage, one of which leaks too, the leak
// is told, to the size classes of Go's allocator.
func TestGoLeak(t *testing.T) {
	requireRoot(t)
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs a Go toolchain: ", err)
	}
	path := filepath.Join(t.TempDir(), "goleak")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = filepath.Join("testdata", "goleak")
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	leaky, sound := startOfAllocs(t, path, "", "leak"), startOfAllocs(t, path, "", "no")
	sink := &signalSink{kept: map[collector.Signal][]*profile.Profile{}}
	rec, err := Start(t.Context(), collector.Config{
		Frequency: 49, Window: time.Minute, Waits: true, AllocMean: 1, MaxSlowdown: 1e6,
		Selection: collector.Selection{PIDs: []int{leaky.cmd.Process.Pid, sound.cmd.Process.Pid}},
	}, sink)
	if err != nil {
		t.Fatal(err)
	}
	leaky.begin()
	sound.begin()
	time.Sleep(2 * leakFor) // its heap is read each second
	leaky.begin()
	sound.begin()
	truth := leaky.did(t)["main.leak"]
	sound.did(t)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	d := liveSites(sink.live, 1)
	t.Log("\n" + DescribeLeaks(d) + Describe(summary))
	leaky.end(t)
	sound.end(t)
	leaks := d.Leaks()
	if len(leaks) != 1 || leaks[0].Functions[0] != "main.leak" || leaks[0].PID != uint32(leaky.cmd.Process.Pid) || leaks[0].Age != nil {
		t.Fatalf("it leaks %+v, said is %+v of %+v", truth, leaks, d.Sites)
	}
	// Sizes are those of classes, an eighth larger at most.
	if l := leaks[0].Live; l.Objects != truth.liveObjects || l.Bytes < truth.liveBytes || l.Bytes > truth.liveBytes*9/8 {
		t.Errorf("it leaks %+v, said is %+v", truth, l)
	}
}
