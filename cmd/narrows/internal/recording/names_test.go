package recording

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/symbolizer"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/debuginfod"
)

// linesMarked returns the numbers of the lines of a source that a comment names.
func linesMarked(t *testing.T, source string, names ...string) map[string]int64 {
	t.Helper()
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	marked := map[string]int64{}
	for i, line := range strings.Split(string(text), "\n") {
		for _, name := range names {
			if strings.HasSuffix(line, "; // "+name) {
				marked[name] = int64(i + 1)
			}
		}
	}
	if len(marked) != len(names) {
		t.Fatalf("%s has the lines %v of %v", source, marked, names)
	}
	return marked
}

// lineShare computes in percent what part of the samples is on each of the lines of a
// function, by the frame of that function that is innermost.
func lineShare(p *profile.Profile, function string, lines map[string]int64, match func(*profile.Sample) bool) (shares map[string]float64, samples int64) {
	counts := map[string]int64{}
	for _, s := range p.Sample {
		if !match(s) {
			continue
		}
		samples += s.Value[0]
		if line := lineIn(s, function); line > 0 {
			for name, want := range lines {
				if line == want {
					counts[name] += s.Value[0]
				}
			}
		}
	}
	shares = map[string]float64{}
	for name, n := range counts {
		shares[name] = 100 * float64(n) / float64(samples)
	}
	return shares, samples
}

func lineIn(s *profile.Sample, function string) int64 {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function.Name == function {
				return line.Line
			}
		}
	}
	return 0
}

// A program without frame pointers whose time is split over lines of one function, one
// of them with an inlined call.
func TestLinesAreTrue(t *testing.T) {
	requireRoot(t)
	names := []string{"half", "third", "fifth"}
	lines := linesMarked(t, "testdata/lines.c", names...)
	c := startTarget(t, exec.Command(compile(t, filepath.Join(t.TempDir(), "lines"), "-O2", "-g", "-fomit-frame-pointer", "testdata/lines.c")))
	p, _ := record(t, truthFrequency, 2*time.Second, func(*Recording) { waitForWork(t, c.Process.Pid) })
	truth := c.end(t)
	got, n := lineShare(p, "work", lines, ofProcess(c.Process.Pid))
	enough(t, "C by line", n)
	compare(t, "C by line", got, truth)

	var inlined int64
	for _, s := range p.Sample {
		if ofProcess(c.Process.Pid)(s) && len(s.Location) > 0 && len(s.Location[0].Line) == 2 && s.Location[0].Line[0].Function.Name == "next" {
			inlined += s.Value[0]
		}
	}
	if share := 100 * float64(inlined) / float64(n); share < 1 {
		t.Errorf("the inlined function has %.1f %% of the samples", share)
	}
}

// Node writes a list of the code that it makes, by which its functions have names.
func TestJavaScriptHasNames(t *testing.T) {
	requireRoot(t)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node: ", err)
	}
	script, err := filepath.Abs("testdata/split.js")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "--perf-basic-prof", "--no-turbo-inlining", script)
	cmd.Dir = t.TempDir()
	target := startTarget(t, cmd)
	t.Cleanup(func() { os.Remove(fmt.Sprintf("/tmp/perf-%d.map", cmd.Process.Pid)) })
	p, _ := record(t, truthFrequency, 2*time.Second, func(*Recording) { waitForWork(t, cmd.Process.Pid) })
	truth := target.end(t)
	delete(truth, "x")
	got, n := share(p, []string{"seventy", "thirty"}, ofProcess(cmd.Process.Pid))
	enough(t, "JavaScript", n)
	compare(t, "JavaScript", got, truth)
	for _, f := range p.Function {
		if f.Name == "seventy" && (f.Filename != script || f.StartLine != 5) {
			t.Errorf("seventy is in %s:%d, want %s:5", f.Filename, f.StartLine, script)
		}
	}
}

// A stripped program's lines come from a server that has its debug file, if a user
// names one.
func TestDebugFileFromServer(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	program := compile(t, filepath.Join(dir, "lines"), "-O2", "-g", "-fomit-frame-pointer", "-Wl,--build-id", "testdata/lines.c")
	debug := filepath.Join(dir, "served") // not where it is looked for on this host
	for _, args := range [][]string{{"--only-keep-debug", program, debug}, {"--strip-all", program}} {
		if out, err := exec.Command("objcopy", args...).CombinedOutput(); err != nil {
			t.Skipf("needs objcopy: %v\n%s", err, out)
		}
	}
	var asked atomic.Int64
	id := buildID(t, program)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/buildid/"+id+"/debuginfo" {
			asked.Add(1)
			http.ServeFile(w, r, debug)
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	client, err := debuginfod.New(debuginfod.Config{URLs: []string{server.URL}, Folder: filepath.Join(dir, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	c := startTarget(t, exec.Command(program))
	sink := newSink(t)
	rec, err := Start(t.Context(), collector.Config{
		Frequency: 499, Window: time.Second, Selection: collector.Selection{PIDs: []int{c.Process.Pid}},
	}, sink, WithServers(client))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if _, err := rec.Stop(); err != nil {
		t.Fatal(err)
	}
	c.end(t)
	merged := written(t, sink)
	shares, n := lineShare(merged, "work", linesMarked(t, "testdata/lines.c", "half"), ofProcess(c.Process.Pid))
	if asked.Load() != 1 || n == 0 || shares["half"] == 0 {
		t.Errorf("the server was asked %d times; of %d samples %v are on a line", asked.Load(), n, shares)
	}
}

func buildID(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := binary.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return file.BuildID()
}

// A process can map what it likes for execution: here two gigabytes, nearly all of them
// holes, that are no program. Its samples keep their place in that file, the reason why
// they have no name is counted, and everything else has its names.
func TestSparseFileIsNoProgram(t *testing.T) {
	requireRoot(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("the code in the file is of x86-64")
	}
	dir := t.TempDir()
	sparse := filepath.Join(dir, "sparse")
	content := make([]byte, 4096, 4102)
	content = append(content, 0x48, 0xff, 0xc9, 0x75, 0xfb, 0xc3) // dec rcx; jnz -5; ret
	if err := errors.Join(os.WriteFile(sparse, content, 0o600), os.Truncate(sparse, 2<<30)); err != nil {
		t.Fatal(err)
	}
	c := startTarget(t, exec.Command(compile(t, filepath.Join(dir, "target"), "testdata/sparse.c"), sparse))
	sink := newSink(t)
	rec, err := Start(t.Context(), collector.Config{
		Frequency: 499, Window: time.Second, Selection: collector.Selection{PIDs: []int{c.Process.Pid}},
	}, sink)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	c.end(t)
	var inFile int64
	merged := written(t, sink)
	for _, s := range merged.Sample {
		if ofProcess(c.Process.Pid)(s) && strings.HasPrefix(s.Location[0].Line[0].Function.Name, "[sparse+0x100") {
			inFile += s.Value[0]
		}
	}
	if inFile == 0 {
		t.Error("no sample is in the file")
	}
	i := slices.IndexFunc(summary.Symbols, func(s session.Symbols) bool { return s.File == sparse })
	if i < 0 || summary.Symbols[i].Named != 0 || summary.Symbols[i].Unnamed[string(symbolizer.NotOpened)] == 0 {
		t.Errorf("the summary says of the file: %+v", summary.Symbols)
	}
	if shares, n := share(merged, []string{"main"}, ofProcess(c.Process.Pid)); n == 0 || shares["main"] == 0 {
		t.Errorf("of %d samples %v are in the program's own function", n, shares)
	}
}
