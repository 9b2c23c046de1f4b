package recording

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector"
)

// goHeap is a running collector/goheap/testdata/goheap.
type goHeap struct {
	folder string
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *bufio.Scanner
}

func buildGoHeap(t *testing.T, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "goheap")
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs go to build its target: ", err)
	}
	build := exec.Command("go", append(append([]string{"build"}, flags...), "-o", path, ".")...)
	build.Dir = filepath.Join("..", "..", "..", "..", "collector", "goheap", "testdata", "goheap")
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func startGoHeap(t *testing.T, path, rate string) *goHeap {
	t.Helper()
	p := &goHeap{folder: t.TempDir()}
	p.cmd = exec.Command(path, p.folder)
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), "RATE="+rate), os.Stderr
	var err error
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.output = bufio.NewScanner(output)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *goHeap) says(t *testing.T, want string) {
	t.Helper()
	if !p.output.Scan() || p.output.Text() != want {
		t.Fatalf("the program says %q, want %q", p.output.Text(), want)
	}
}

// round has the program write its own profile, and reads it.
func (p *goHeap) round(t *testing.T, number int) *profile.Profile {
	t.Helper()
	fmt.Fprintln(p.input)
	p.says(t, "written")
	f, err := os.Open(filepath.Join(p.folder, fmt.Sprintf("heap%d.pb.gz", number)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parsed, err := profile.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// byStack adds up the values of samples in whose stacks main.allocate is.
func byStack(p *profile.Profile, keep func(*profile.Sample) bool) map[string][4]int64 {
	sums := map[string][4]int64{}
	for _, s := range p.Sample {
		var stack []uint64
		ours := false
		for _, l := range s.Location {
			stack = append(stack, l.Address)
			ours = ours || slices.ContainsFunc(l.Line, func(line profile.Line) bool { return strings.HasPrefix(line.Function.Name, "main.allocate") })
		}
		if !ours || !keep(s) {
			continue
		}
		key := fmt.Sprintf("%#x", stack)
		sum := sums[key]
		for i, v := range s.Value {
			sum[i] += v
		}
		if sum != ([4]int64{}) {
			sums[key] = sum
		}
	}
	return sums
}

// TestGoHeaps records two Go programs, one that begins while it is recorded and one that ran
// before, and compares with what they say of themselves: to the byte.
func TestGoHeaps(t *testing.T) {
	requireRoot(t)
	path := buildGoHeap(t, "-ldflags=-s -w")
	const rate = 65536
	older := startGoHeap(t, path, fmt.Sprint(rate))
	older.says(t, "allocated")
	before := older.round(t, 1)
	sink := &signalSink{kept: map[collector.Signal][]*profile.Profile{}}
	rec, err := Start(t.Context(), collector.Config{
		Frequency: 49, Window: 2 * time.Second, Waits: true, MaxSlowdown: 0.5, AllocMean: 512 << 10,
		Selection: collector.Selection{PIDs: []int{older.cmd.Process.Pid}},
	}, sink)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // until the older has been read, and a window is over
	now := collector.Now()
	younger := startGoHeap(t, path, "")
	rec.Collector().Select(younger.cmd.Process.Pid, now)
	fmt.Fprintln(older.input)
	older.says(t, "allocated")
	younger.says(t, "allocated")
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	got := sink.merged(t, collector.Alloc)
	of := func(p *goHeap) map[string][4]int64 {
		return byStack(got, func(s *profile.Sample) bool { return s.NumLabel["pid"][0] == int64(p.cmd.Process.Pid) })
	}
	all := func(*profile.Sample) bool { return true }
	compareHeaps(t, "began while recorded", of(younger), byStack(younger.round(t, 1), all), nil)
	compareHeaps(t, "began before", of(older), byStack(older.round(t, 2), all), byStack(before, all))
	for _, s := range got.Sample {
		if pid := s.NumLabel["pid"][0]; pid == int64(older.cmd.Process.Pid) && !slices.Equal(s.NumLabel["rate"], []int64{rate}) ||
			pid == int64(younger.cmd.Process.Pid) && len(s.NumLabel["rate"]) != 0 {
			t.Errorf("a sample of process %d with the labels %v", pid, s.NumLabel)
		}
	}
	for _, w := range summary.Warnings {
		if strings.Contains(w, "Go program") {
			t.Errorf("warned: %s", w)
		}
	}
	for _, p := range []*goHeap{older, younger} {
		p.input.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("a program did not survive: %v", err)
		}
	}
}

// compareHeaps wants what was allocated since before, and what is in use in all.
func compareHeaps(t *testing.T, name string, got, want, before map[string][4]int64) {
	t.Helper()
	if len(want) < 4 {
		t.Errorf("%s: the program knows of %d stacks", name, len(want))
	}
	for stack, w := range want {
		b, g := before[stack], got[stack]
		if g[0] != w[0]-b[0] || g[1] != w[1]-b[1] {
			t.Errorf("%s, %s: allocated %v, want %v less %v", name, stack, g, w, b)
		}
		if g[2] != w[2] || g[3] != w[3] {
			t.Errorf("%s, %s: %v in use, want %v", name, stack, g, w)
		}
	}
	for stack, g := range got {
		if _, ok := want[stack]; !ok {
			t.Errorf("%s, %s: %v, which the program does not know of", name, stack, g)
		}
	}
}
