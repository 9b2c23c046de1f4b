package session

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/sum"
)

func document(t testing.TB) []byte {
	t.Helper()
	s := Session{SchemaVersion: SchemaVersion, Outcome: Outcome{Status: Complete}}
	s.normalise()
	data, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestOpenRefusesWhatItCannotTrust(t *testing.T) {
	good := string(document(t))
	for name, content := range map[string]string{
		"empty":           "",
		"not JSON":        "hello",
		"trailing data":   good + "{}",
		"no version":      `{"status":"complete"}`,
		"newer version":   strings.Replace(good, `"schema_version":1`, `"schema_version":2`, 1),
		"unknown status":  strings.Replace(good, `"complete"`, `"fine"`, 1),
		"path as profile": strings.Replace(good, `"profiles":[]`, `"profiles":[{"file":"../../etc/passwd"}]`, 1),
		"negative window": strings.Replace(good, `"window_seconds":0`, `"window_seconds":-1`, 1),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, documentName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if content == good {
			t.Fatalf("%s: the test changes nothing", name)
		}
		if _, err := Open(dir); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no session folder") {
		t.Errorf("a folder without %s: %v", documentName, err)
	}
}

func TestOpenFollowsNoLinkOutAndWaitsForNoPipe(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.json")
	if err := os.WriteFile(outside, document(t), 0o600); err != nil {
		t.Fatal(err)
	}
	linked := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(linked, documentName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(linked); err == nil {
		t.Error("a symbolic link led out of the session folder")
	}
	piped := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(piped, documentName), 0o600); err != nil {
		t.Skipf("making a named pipe: %v", err)
	}
	if _, err := Open(piped); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a named pipe in place of the document: %v", err)
	}
}

func TestProfileThatUnpacksTooLargeIsRefused(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := parseProfile(&packed, 1<<19); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("parsing 1 MiB under a bound of 512 KiB: %v", err)
	}
}

func TestCountCPUs(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,8,10-11": 7} {
		if got, err := countCPUs(list); err != nil || got != want {
			t.Errorf("countCPUs(%q) = %d, %v; want %d", list, got, err, want)
		}
	}
	for _, list := range []string{"", "3-0", "a", "0-", "-1"} {
		if got, err := countCPUs(list); err == nil {
			t.Errorf("countCPUs(%q) = %d, want an error", list, got)
		}
	}
}

func TestLocalHostIsFilledIn(t *testing.T) {
	h, err := LocalHost()
	if err != nil {
		t.Skipf("this host hides what is asked: %v", err)
	}
	if h.Kernel == "" || h.Machine == "" || h.CPUsOnline < 1 || h.MemoryBytes == 0 || len(h.BootID) != 36 {
		t.Errorf("host %+v", h)
	}
}

// manyProfiles yields n profiles with one common stack and one of their own
// each; profile i has the value i for both.
func manyProfiles(n int) iter.Seq2[*profile.Profile, error] {
	return func(yield func(*profile.Profile, error) bool) {
		for i := range n {
			p := &profile.Profile{
				SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}},
				PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
				TimeNanos:  int64(i) * 10, DurationNanos: 10,
			}
			for id, name := range []string{"common", "only " + string(rune('a'+i%26)) + strings.Repeat("x", i/26)} {
				f := &profile.Function{ID: uint64(id + 1), Name: name}
				l := &profile.Location{ID: uint64(id + 1), Line: []profile.Line{{Function: f}}}
				p.Function, p.Location = append(p.Function, f), append(p.Location, l)
				p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{int64(i)}})
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func TestMergeOfAnyNumberOfWindowsKeepsTheTotal(t *testing.T) {
	for _, n := range []int{0, 1, 2, 25} {
		w, err := Create(filepath.Join(t.TempDir(), "s"), Info{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Unix(1, 0)
		for p := range manyProfiles(n) {
			window := Window{Index: int(p.TimeNanos / 10), Start: start.Add(time.Duration(p.TimeNanos)), End: start.Add(time.Duration(p.TimeNanos + 10))}
			if err := w.WriteWindow(t.Context(), window, CPU, p); err != nil {
				t.Fatal(err)
			}
		}
		cutOff, err := openFolder(w.Path())
		if err != nil {
			t.Fatal(err)
		}
		windows, err := cutOff.windowsOf(CPU)
		if err != nil {
			t.Fatal(err)
		}
		inMemory, err := cutOff.mergeInMemory(t.Context(), CPU, windows)
		if err = errors.Join(err, cutOff.root.Close()); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(t.Context(), Outcome{Status: Complete}, Summary{}); err != nil {
			t.Fatal(err)
		}
		s, err := Open(w.Path())
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Profile(CPU)
		if n == 0 {
			if !errors.Is(err, fs.ErrNotExist) || inMemory != nil {
				t.Errorf("no windows: %v, %v", inMemory, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*profile.Profile{p, inMemory} {
			var total int64
			for _, s := range p.Sample {
				total += s.Value[0]
			}
			if want := int64(n * (n - 1)); total != want {
				t.Errorf("%d windows: total %d, want %d", n, total, want)
			}
			if p.DurationNanos != int64(n)*10 {
				t.Errorf("%d windows of 10 ns span %d ns", n, p.DurationNanos)
			}
		}
		d := s.Profiles[0]
		if d.Windows != n || d.SampleTypes[0].Total != int64(n*(n-1)) || d.Entries != len(p.Sample) {
			t.Errorf("%d windows are described as %+v", n, d)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(document(f))
	f.Add([]byte(`{"schema_version":1,"status":"recording","profiles":[{"file":"cpu.pb.gz"}],"accounting":{"total":{}}}`))
	f.Add([]byte(`{"schema_version":1,"status":"failed","start":"0001-01-01T00:00:00Z","unwinding":[{}],"symbols":[{}],"signals":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decode(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("a document that was read cannot be written: %v", err)
		}
		if _, err := decode(again); err != nil {
			t.Fatalf("a document that was written cannot be read: %v\n%s", err, again)
		}
	})
}

func FuzzParseProfile(f *testing.F) {
	for p := range manyProfiles(2) {
		var data bytes.Buffer
		if err := p.Write(&data); err != nil {
			f.Fatal(err)
		}
		f.Add(data.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseProfile(bytes.NewReader(data), 1<<20)
		if err != nil {
			return
		}
		if _, err := profile.Merge([]*profile.Profile{p, p}); err != nil {
			t.Fatalf("a profile that was read does not merge with itself: %v", err)
		}
	})
}

// busyWindows yields n windows as a busy machine fills them: 400 samples each,
// 30 frames deep, seven of eight stacks new.
func busyWindows(n int) iter.Seq2[*profile.Profile, error] {
	return func(yield func(*profile.Profile, error) bool) {
		random := rand.New(rand.NewPCG(1, 1))
		for range n {
			p := &profile.Profile{
				SampleType:    []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
				PeriodType:    &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
				DurationNanos: 10e9,
			}
			for id := range uint64(2000) {
				f := &profile.Function{ID: id + 1, Name: fmt.Sprintf("package.function%d", id)}
				p.Function = append(p.Function, f)
				p.Location = append(p.Location, &profile.Location{ID: id + 1, Line: []profile.Line{{Function: f}}})
			}
			for i := range 400 {
				stack := make([]*profile.Location, 30)
				for depth := range stack {
					stack[depth] = p.Location[depth*60]
					if i%8 != 0 {
						stack[depth] = p.Location[random.IntN(len(p.Location))]
					}
				}
				p.Sample = append(p.Sample, &profile.Sample{Location: stack, Value: []int64{1, 1e7}, Label: map[string][]string{"service": {"ryot"}, "phase": {"decode"}}, NumLabel: map[string][]int64{"pid": {7}}})
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// BenchmarkMerge adds 1,000 windows up and reports what is kept of them and the
// most memory held on the way, that of one window included.
func BenchmarkMerge(b *testing.B) {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	for b.Loop() {
		var peak float64
		before := heap()
		windows := func(yield func([]byte, error) bool) {
			var data bytes.Buffer
			count := 0
			for p := range busyWindows(1000) {
				if count++; count%100 == 0 || count > 990 {
					peak = max(peak, heap()-before)
				}
				data.Reset()
				if err := p.WriteUncompressed(&data); err != nil || !yield(data.Bytes(), err) {
					return
				}
			}
		}
		merged, err := sum.Of(windows)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(heap()-before, "kept-MiB")
		if err := merged.Write(io.Discard, windows); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(peak, "peak-MiB")
		b.ReportMetric(float64(merged.Entries()), "entries")
	}
}
