package recording

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
)

// keepAll is a sink that keeps the windows' profiles.
type keepAll struct {
	profiles map[collector.Signal][]*profile.Profile
}

func (k *keepAll) Window(_ context.Context, w collector.Window) error {
	if k.profiles == nil {
		k.profiles = map[collector.Signal][]*profile.Profile{}
	}
	for signal, p := range w.Profiles {
		k.profiles[signal] = append(k.profiles[signal], p)
	}
	return nil
}

// recordCommand records a command of a test from its first instruction to its end, waits
// included.
func recordCommand(t *testing.T, config collector.Config, cmd *exec.Cmd, during func(*target)) (map[collector.Signal]*profile.Profile, session.Summary, string) {
	t.Helper()
	requireRoot(t)
	config.Waits, config.Selection = true, collector.Selection{}
	sink := &keepAll{}
	rec, err := Start(t.Context(), config, sink)
	if err != nil {
		t.Fatal(err)
	}
	before := collector.Now()
	g := startTarget(t, cmd)
	rec.Collector().Select(cmd.Process.Pid, before)
	during(g)
	g.input.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	merged := map[collector.Signal]*profile.Profile{}
	for signal, windows := range sink.profiles {
		if merged[signal], err = profile.Merge(windows); err != nil {
			t.Fatal(err)
		}
	}
	return merged, summary, g.output.String()
}

// offCPUTruth is what the program says: ns by function.
func offCPUTruth(t *testing.T, output string) map[string]float64 {
	t.Helper()
	truth := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader([]byte(output))); lines.Scan(); {
		name, digits, _ := strings.Cut(lines.Text(), " ")
		ns, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			t.Fatalf("the program says %q", lines.Text())
		}
		truth[name] = ns
	}
	if len(truth) == 0 {
		t.Fatal("the program says nothing")
	}
	return truth
}

// byFunction adds up the time of samples by the first of the functions on their stack, and
// by state.
func byFunction(p *profile.Profile, names []string) (time, states map[string]float64) {
	time, states = map[string]float64{}, map[string]float64{}
	for _, s := range p.Sample {
		name := findFunction(s, names)
		time[name] += float64(s.Value[1])
		for _, state := range s.Label["state"] {
			states[name+" "+state] += float64(s.Value[1])
		}
	}
	return time, states
}

// saturated tells whether the CPUs were hardly ever idle.
func saturated(s session.Summary) bool {
	total := s.Accounting.Total
	return total.IdleNS < (total.IdleNS+total.ExpectedNS)/10
}

// Threads that wait in a known way: where each waited, for how long, and for what. They
// wake up on other CPUs than they went to sleep on, and one waits longer than any window.
func TestOffCPUTimeIsTrue(t *testing.T) {
	requireRoot(t)
	program := compile(t, filepath.Join(t.TempDir(), "waits"), "testdata/waits.c", "-pthread", "-fomit-frame-pointer")
	profiles, summary, output := recordCommand(t, collector.Config{Frequency: 99, Window: time.Second}, exec.Command(program),
		func(*target) { time.Sleep(5 * time.Second) })
	truth := offCPUTruth(t, output)
	var names []string
	for name := range truth {
		names = append(names, name)
	}
	seen, states := byFunction(profiles[collector.OffCPU], names)
	// On a busy machine the first stacks of a new process may not reach their function.
	truncated := truncatedTime(profiles[collector.OffCPU], names)
	t.Logf("%.0f ms on stacks that do not reach any of the functions", truncated/1e6)
	// Where the machine has more to do than it can, short waits stand for each other so often
	// that one thread's share of them is chance. All together they are exact.
	tolerance := 0.03
	if saturated(summary) {
		tolerance = 0.1
	}
	var allGot, allWant float64
	for name, state := range map[string]string{
		"nap": "sleep", "doze": "sleep", "await_byte": "pipe", "write_bytes": "sleep", "await_poll": "poll", "wander": "sleep", "await_end": "pipe",
	} {
		want, got := truth[name], seen[name]
		t.Logf("%-11s waited %6.0f ms, %6.0f ms seen (%+.2f %%), %.1f %% of it as %s", name, want/1e6, got/1e6, 100*(got/want-1), 100*states[name+" "+state]/got, state)
		allGot += got
		allWant += want
		if got > (1+tolerance)*want || got+truncated < (1-tolerance)*want {
			t.Errorf("%s waited %.0f ms, of which %.0f are seen", name, want/1e6, got/1e6)
		}
		// What is not in that state was waiting for a CPU, here and there for a lock of the
		// kernel or to be moved to another CPU.
		if other := got - states[name+" "+state] - states[name+" runnable"]; other > 0.05*got || states[name+" "+state] < got/2 {
			t.Errorf("%s: %.0f ms as %s, %.0f ms as something else", name, states[name+" "+state]/1e6, state, other/1e6)
		}
	}
	if allGot > 1.01*allWant || allGot+truncated < 0.99*allWant {
		t.Errorf("all together waited %.0f ms, of which %.0f are seen", allWant/1e6, allGot/1e6)
	}
}

// goNaps sleeps in one thread until it is told to end, and says for how long.
func goNaps() {
	runtime.LockOSThread()
	told := make(chan struct{})
	go func() {
		os.Stdin.Read(make([]byte, 1))
		close(told)
	}()
	var slept time.Duration
	for {
		slept += goNap()
		select {
		case <-told:
			json.NewEncoder(os.Stdout).Encode(map[string]time.Duration{"goNap": slept})
			return
		default:
		}
	}
}

//go:noinline
func goNap() time.Duration {
	start := time.Now()
	rest(20 * time.Millisecond)
	return time.Since(start)
}

// goRest sleeps for longer than any test.
//
//go:noinline
func goRest() {
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); { // signals interrupt it
		rest(time.Minute)
	}
}

// rest sleeps without the runtime's knowledge, which would make the thread wait for more.
func rest(d time.Duration) {
	wanted := unix.NsecToTimespec(int64(d))
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&wanted)), 0, 0)
}

// What must hold on every kernel, whatever the speed of the machine: waits are seen, with
// their stacks and reasons, those of threads that slept before the recording too.
func TestWaitsOnThisKernel(t *testing.T) {
	requireRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	resting := exec.Command(self)
	resting.Env = append(os.Environ(), "NARROWS_TEST_TARGET=rest")
	early := startTarget(t, resting)
	time.Sleep(500 * time.Millisecond)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "NARROWS_TEST_TARGET=naps")
	sink := &keepAll{}
	rec, err := Start(t.Context(), collector.Config{Frequency: 99, Window: time.Second, Waits: true, Selection: collector.Selection{All: true}}, sink)
	if err != nil {
		t.Fatal(err)
	}
	g := startTarget(t, cmd)
	time.Sleep(4 * time.Second)
	truth := g.end(t)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	p, err := profile.Merge(sink.profiles[collector.OffCPU])
	if err != nil {
		t.Fatal(err)
	}
	seen, states := byFunction(p, []string{"goNap"})
	var unended float64
	for _, s := range p.Sample {
		if s.NumLabel["pid"][0] == int64(g.Process.Pid) && s.HasLabel("state", "sleep") && findFunction(s, []string{"goNap"}) == "" && len(s.Label["unwind"]) > 0 {
			unended += float64(s.Value[1])
		}
	}
	t.Logf("slept %.0f ms; %.0f ms seen, %.0f of it as sleep, and %.0f on stacks without an end", truth["goNap"]/1e6, seen["goNap"]/1e6, states["goNap sleep"]/1e6, unended/1e6)
	if seen["goNap"] > 1.1*truth["goNap"] || seen["goNap"]+unended < 0.5*truth["goNap"] || states["goNap sleep"] < seen["goNap"]/2 {
		t.Errorf("slept %.0f ms, %.0f seen: %v", truth["goNap"]/1e6, seen["goNap"]/1e6, states)
	}
	var slept, stacked, truncated float64
	for _, s := range p.Sample {
		if s.NumLabel["pid"][0] != int64(early.Process.Pid) || s.NumLabel["tid"][0] != s.NumLabel["pid"][0] {
			continue
		}
		slept += float64(s.Value[1])
		if s.HasLabel("state", "sleep") && len(s.Label["unwind"]) == 0 && findFunction(s, []string{"goRest"}) != "" {
			stacked += float64(s.Value[1])
		} else if len(s.Label["unwind"]) > 0 {
			truncated += float64(s.Value[1])
		}
	}
	t.Logf("a process that slept before: %.0f ms seen, of which %.0f with a whole stack, %.0f without an end", slept/1e6, stacked/1e6, truncated/1e6)
	// The runtime interrupts it now and then; on a busy machine a stack may then lack its end
	// until the tables are there.
	asleep, ended, whole := 0.97, 0.9, 0.5
	if emulated() { // it runs for a good part of the time, to be interrupted
		asleep, ended, whole = 0.8, 0.5, 0.2
	}
	if slept < asleep*4e9 || stacked+truncated < ended*slept || stacked < whole*slept {
		t.Error("that is too little")
	}
}

// emulated tells whether the machine is too slow to keep up with its own clock.
func emulated() bool {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(cpu), "QEMU")
}

// truncatedTime is the time on stacks that end before any of the functions.
func truncatedTime(p *profile.Profile, names []string) (ns float64) {
	for _, s := range p.Sample {
		if len(s.Label["unwind"]) > 0 && findFunction(s, names) == "" {
			ns += float64(s.Value[1])
		}
	}
	return ns
}

// 100,000 different stacks: none is dropped that is not counted, and the time is whole.
func TestManyDifferentWaits(t *testing.T) {
	requireRoot(t)
	program := compile(t, filepath.Join(t.TempDir(), "waits"), "testdata/waits.c", "-pthread", "-fno-optimize-sibling-calls")
	profiles, summary, output := recordCommand(t, collector.Config{Frequency: 99, Window: 10 * time.Second}, exec.Command(program, "paths"), func(*target) {})
	want := offCPUTruth(t, output)["take_paths"]
	seen, none := ofThreads(profiles[collector.OffCPU])
	stacks := distinct(profiles[collector.OffCPU], "take_paths")
	t.Logf("%.0f ms waited; %.0f ms seen on %d stacks, %.0f ms of it without one", want/1e6, seen/1e6, stacks, none/1e6)
	if math.Abs(seen/want-1) > 0.01 {
		t.Errorf("%.0f ms waited, %.0f seen", want/1e6, seen/1e6)
	}
	if stacks < 95_000 && none == 0 && counted(summary, "no room for a wait's stack")+counted(summary, "wait without its stack")+counted(summary, "ring buffer full") == 0 {
		t.Errorf("%d of 100,000 stacks, and nothing counted as lost: %v", stacks, summary.Losses)
	}
}

// 20,000 threads, each of which sleeps once.
func TestManyWaitingThreads(t *testing.T) {
	requireRoot(t)
	program := compile(t, filepath.Join(t.TempDir(), "waits"), "testdata/waits.c", "-pthread")
	profiles, _, output := recordCommand(t, collector.Config{Frequency: 99, Window: 10 * time.Second}, exec.Command(program, "threads"), func(*target) {})
	want := offCPUTruth(t, output)["sleep_once"]
	// Not what a thread waits for when it has said how long it waited, and ends.
	all, _ := byFunction(profiles[collector.OffCPU], []string{"work"})
	seen, truncated := all["work"], truncatedTime(profiles[collector.OffCPU], []string{"work"})
	t.Logf("%.0f ms waited; %.0f ms seen (%+.2f %%), %.0f ms on stacks without an end", want/1e6, seen/1e6, 100*(seen/want-1), truncated/1e6)
	if seen > 1.01*want || seen+truncated < 0.99*want {
		t.Errorf("%.0f ms waited, %.0f seen", want/1e6, seen/1e6)
	}
}

// ofThreads is the time that all threads but the first of a process waited, and the part of
// it whose stack was not taken or lost.
func ofThreads(p *profile.Profile) (ns, withoutStack float64) {
	for _, s := range p.Sample {
		if s.NumLabel["pid"][0] == s.NumLabel["tid"][0] {
			continue
		}
		ns += float64(s.Value[1])
		if s.HasLabel("unwind", "no stack") {
			withoutStack += float64(s.Value[1])
		}
	}
	return ns, withoutStack
}

// distinct counts the different stacks with a function.
func distinct(p *profile.Profile, function string) int {
	stacks := map[string]bool{}
	for _, s := range p.Sample {
		if findFunction(s, []string{function}) == "" {
			continue
		}
		var key strings.Builder
		for _, l := range s.Location {
			key.WriteString(strconv.FormatUint(l.ID, 36))
			key.WriteByte(' ')
		}
		stacks[key.String()] = true
	}
	return len(stacks)
}

// counted is how often a loss was counted.
func counted(s session.Summary, reason string) (n int64) {
	for _, l := range s.Losses {
		if l.Reason == reason {
			n += l.Count
		}
	}
	return n
}
