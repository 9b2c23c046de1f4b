package recording

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/kernelalloc"
)

// kernelProgram is a running testdata/kernelallocs.
type kernelProgram struct {
	*target
	truth map[string]float64
}

// startKernelProgram starts the program, which waits.
func startKernelProgram(t *testing.T, path string, arguments ...string) *kernelProgram {
	t.Helper()
	return &kernelProgram{target: startTarget(t, exec.Command(path, arguments...))}
}

// work lets the program do what it is for, and holds what it does not close.
func (p *kernelProgram) work(t *testing.T) {
	t.Helper()
	if _, err := p.input.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	for range 600 {
		time.Sleep(50 * time.Millisecond)
		if strings.Contains(p.output.String(), "done") {
			p.truth = offCPUTruth(t, p.output.String())
			return
		}
	}
	t.Fatal("the program does not end")
}

func (p *kernelProgram) leave(t *testing.T) {
	t.Helper()
	p.input.Close()
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// settle is how long inodes of closed files stay until nobody can look at them any more.
const settle = 2 * time.Second

// startKernelAllocs records the kernel's allocations of the whole machine.
func startKernelAllocs(t *testing.T, mean uint64) (*Recording, *signalSink) {
	t.Helper()
	requireRoot(t)
	sink := &signalSink{kept: map[collector.Signal][]*profile.Profile{}}
	config := collector.Config{Frequency: 49, Window: time.Minute, KernelAllocMean: mean, Selection: collector.Selection{All: true}}
	rec, err := Start(t.Context(), config, sink)
	if err != nil {
		t.Fatal(err)
	}
	return rec, sink
}

// Each thing that the program holds is so many objects of this slab cache, or bytes in pages.
var heldAs = map[string]struct {
	cache string
	pages float64
}{
	"sockets": {cache: "sock_inode_cache"},
	"files":   {cache: "shmem_inode_cache"},
	"pipes":   {pages: 16},
}

// slabObjectSizes are the sizes of objects by cache as the kernel publishes them.
func slabObjectSizes(t *testing.T) map[string]float64 {
	t.Helper()
	f, err := os.Open("/proc/slabinfo")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	sizes := map[string]float64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		if size, err := strconv.ParseFloat(fields[3], 64); err == nil {
			sizes[fields[0]] = size
		}
	}
	return sizes
}

// activeObjects is how many objects of a cache the kernel says are in use. What lies ready on
// each CPU would be among them, and is put back before.
func activeObjects(t *testing.T, cache string) float64 {
	t.Helper()
	if err := os.WriteFile(filepath.Join("/sys/kernel/slab", cache, "shrink"), []byte("1"), 0); err != nil {
		t.Logf("the kernel's count of %s has what lies ready on each CPU: %v", cache, err)
	}
	text, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		t.Skip(err)
	}
	found := regexp.MustCompile(`(?m)^` + cache + ` +(\d+)`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no cache %s", cache)
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// liveOf adds up what a process has in use by stack and what it holds.
func liveOf(samples []*profile.Sample, pid int) (objects, bytes map[string]float64) {
	objects, bytes = map[string]float64{}, map[string]float64{}
	for _, s := range samples {
		by := findFunction(s, []string{"make_most", "make_rest"})
		if by == "" || !ofProcess(pid)(s) {
			continue
		}
		for what, as := range heldAs {
			isSlab := as.cache != "" && slices.Equal(s.Label["slab"], []string{as.cache}) && s.HasLabel("kind", kernelalloc.Slab)
			isPage := as.pages > 0 && s.HasLabel("kind", kernelalloc.Page) && findFunction(s, []string{"pipe_write", "anon_pipe_write", "fifo_pipe_write"}) != ""
			if isSlab || isPage {
				key := strings.TrimPrefix(by, "make_") + "-" + what
				objects[key] += float64(s.Value[2])
				bytes[key] += float64(s.Value[3])
			}
		}
	}
	return objects, bytes
}

// Where each allocation is taken down, what lives is what is held: by the program's own
// account, and by the kernel's of its slab caches.
func TestKernelAllocsAreTrue(t *testing.T) {
	path := compile(t, filepath.Join(t.TempDir(), "kernelallocs"), "testdata/kernelallocs.c")
	rec, sink := startKernelAllocs(t, 1)
	program := startKernelProgram(t, path, "hold", "4000", "7")
	time.Sleep(time.Second) // its mappings are known then
	before := map[string]float64{}
	for _, as := range heldAs {
		if as.cache != "" {
			before[as.cache] = activeObjects(t, as.cache)
		}
	}
	program.work(t)
	time.Sleep(settle)
	grown := map[string]float64{}
	for cache, n := range before {
		grown[cache] = activeObjects(t, cache) - n
	}
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	program.leave(t)
	t.Log("\n" + Describe(summary))
	sizes := slabObjectSizes(t)
	objects, bytes := liveOf(sink.merged(t, collector.KernelAlloc).Sample, program.Process.Pid)
	for what, as := range heldAs {
		for _, part := range []string{"most-", "rest-"} {
			n, each := program.truth[part+what], sizes[as.cache]
			if as.pages > 0 {
				n, each = n*as.pages, float64(os.Getpagesize())
			}
			closeTo(t, "live "+part+what, objects[part+what], n, 0.02)
			closeTo(t, "bytes of "+part+what, bytes[part+what], n*each, 0.02)
		}
		if as.cache != "" {
			closeTo(t, as.cache+" by the kernel's count", objects["most-"+what]+objects["rest-"+what], grown[as.cache], 0.02)
		}
	}
}

// What is estimated from a few lies in the interval as often as it says, of 20 programs that
// hold different numbers.
func TestKernelAllocsSampled(t *testing.T) {
	const runs, mean = 20, 32 << 10
	path := compile(t, filepath.Join(t.TempDir(), "kernelallocs"), "testdata/kernelallocs.c")
	rec, sink := startKernelAllocs(t, mean)
	var programs []*kernelProgram
	for seed := range runs {
		programs = append(programs, startKernelProgram(t, path, "hold", "1600", fmt.Sprint(seed+1)))
	}
	time.Sleep(time.Second)
	for _, p := range programs {
		p.work(t)
	}
	time.Sleep(settle)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	sizes := slabObjectSizes(t)
	in := map[string]int{}
	for _, p := range programs {
		p.leave(t)
		for _, what := range []string{"most", "rest"} {
			own := onlyHeld(sink.merged(t, collector.KernelAlloc), p.Process.Pid, "make_"+what)
			tally := memory.NewTally()
			if err := tally.Add(own); err != nil {
				t.Fatal(err)
			}
			truth := p.truth[what+"-sockets"]*sizes["sock_inode_cache"] + p.truth[what+"-files"]*sizes["shmem_inode_cache"] +
				p.truth[what+"-pipes"]*16*float64(os.Getpagesize())
			live := tally.Document().Live
			if within(live, int64(truth)) {
				in[what]++
			}
			t.Logf("%s: live %.0f: %+v", what, truth, live)
		}
	}
	if in["most"] < 16 || in["rest"] < 16 {
		t.Errorf("of %d runs the truth lay in the interval of the one stack in %d, of the other in %d; want 16", runs, in["most"], in["rest"])
	}
}

// onlyHeld keeps the samples of what one process holds by one stack.
func onlyHeld(p *profile.Profile, pid int, function string) *profile.Profile {
	p.Sample = slices.DeleteFunc(p.Sample, func(s *profile.Sample) bool {
		if findFunction(s, []string{function}) == "" {
			return true
		}
		objects, _ := liveOf([]*profile.Sample{s}, pid)
		return len(objects) == 0
	})
	return p
}

// A storm of allocations is bounded: few are taken down, all are counted, and what they stand
// for together is what was counted.
func TestStormOfKernelAllocs(t *testing.T) {
	for name, mean := range map[string]uint64{"each": 1, "sampled": kernelalloc.DefaultMean} {
		t.Run(name, func(t *testing.T) {
			path := compile(t, filepath.Join(t.TempDir(), "kernelallocs"), "testdata/kernelallocs.c")
			rec, sink := startKernelAllocs(t, mean)
			programs := []*kernelProgram{startKernelProgram(t, path, "storm", "3"), startKernelProgram(t, path, "storm", "3")}
			time.Sleep(time.Second)
			done := make(chan struct{})
			go func() {
				defer close(done)
				programs[1].work(t)
			}()
			programs[0].work(t)
			<-done
			summary, err := rec.Stop()
			if err != nil {
				t.Fatal(err)
			}
			t.Log("\n" + Describe(summary))
			var calls float64
			for _, p := range programs {
				p.leave(t)
				calls += p.truth["calls"]
			}
			m := summary.KernelMemory
			var bySample, objects float64
			for _, s := range sink.merged(t, collector.KernelAlloc).Sample {
				if s.HasLabel("kind", kernelalloc.Slab) || len(s.Label) == 0 { // what was lost has no labels
					objects += float64(s.Value[0])
				}
				if findFunction(s, []string{"storm"}) != "" && s.HasLabel("kind", kernelalloc.Slab) {
					bySample += float64(s.Value[0])
				}
			}
			t.Logf("%.0f calls, %d objects counted, %.0f by the profile, %.0f of them by the storm", calls, m.Objects, objects, bySample)
			if float64(m.Objects) < 2*calls {
				t.Errorf("%d objects of %.0f calls, each of which takes two and more", m.Objects, calls)
			}
			closeTo(t, "objects of the profile", objects, float64(m.Objects), 0.02)
			if limit := int64(2*10_000*8 + 3*64<<10 + 20*1000); m.Allocated.Samples > limit {
				t.Errorf("%d allocations taken down, more than a CPU may send in the time", m.Allocated.Samples)
			}
		})
	}
}

// TestKernelAllocsAgreeWithPerf has perf count the objects that the same process is given.
func TestKernelAllocsAgreeWithPerf(t *testing.T) {
	perf, err := exec.LookPath("perf")
	if err != nil {
		t.Skip("perf is not installed")
	}
	path := compile(t, filepath.Join(t.TempDir(), "kernelallocs"), "testdata/kernelallocs.c")
	said := filepath.Join(t.TempDir(), "perf.txt")
	rec, sink := startKernelAllocs(t, 1)
	program := startKernelProgram(t, path, "hold", "2000", "3")
	time.Sleep(time.Second)
	counting := exec.Command(perf, "stat", "-e", "kmem:kmem_cache_alloc", "-e", "kmem:kmalloc", "-o", said, "-p", strconv.Itoa(program.Process.Pid))
	if err := counting.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	program.work(t)
	counting.Process.Signal(os.Interrupt)
	counting.Wait() // it says that it was interrupted
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	program.leave(t)
	t.Log("\n" + Describe(summary))
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	var want, got float64
	for _, found := range regexp.MustCompile(`([0-9,]+) +kmem:`).FindAllSubmatch(text, -1) {
		n, err := strconv.ParseFloat(strings.ReplaceAll(string(found[1]), ",", ""), 64)
		if err != nil {
			t.Fatal(err)
		}
		want += n
	}
	if want == 0 {
		t.Skipf("perf counted nothing:\n%s", text)
	}
	for _, s := range sink.merged(t, collector.KernelAlloc).Sample {
		if ofProcess(program.Process.Pid)(s) && s.HasLabel("kind", kernelalloc.Slab) && findFunction(s, []string{"hold", "make_most", "make_rest"}) != "" {
			got += float64(s.Value[0])
		}
	}
	closeTo(t, "objects by perf", got, want, 0.02)
}
