package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"github.com/prometheus/procfs"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// signals is how many profiles a session has: of the CPU, of page faults and those of waits.
const signals = 6

// spinners are samples of the spinning test program.
func spinners(s *profile.Sample) bool { return s.HasLabel("process", spinnerName) }

// Every CPU is busy, so the truth is known: all of the time has to be seen, most
// of it in one function.
func TestRecordWholeMachine(t *testing.T) {
	requireRecording(t)
	_, pid := startSpinner(t, runtime.NumCPU())
	cmd := narrows(t, "record", "-d", "2s", "-F", "499", "--window", "500ms", "-o", "s")
	r := succeed(t, cmd)
	checkPlainLines(t, r.stderr, "recording the whole machine for 2s")
	dir := filepath.Join(cmd.Dir, "s")
	s := checkSession(t, dir)
	if s.Status != session.Complete {
		t.Errorf("status %q: %s", s.Status, s.Reason)
	}
	checkAccounting(t, s)
	checkWindows(t, dir, 4)
	for _, part := range []string{"written to  s\n", "go tool pprof -top s/cpu.pb.gz", "samples  ", "lost  ", "own cost  "} {
		if !strings.Contains(r.stdout, part) {
			t.Errorf("the summary lacks %q:\n%s", part, r.stdout)
		}
	}

	p := readProfile(t, filepath.Join(dir, session.CPU))
	ours := func(s *profile.Sample) bool { return slices.Equal(s.NumLabel["pid"], []int64{int64(pid)}) }
	spun := weight(p, ours)
	burnt := weight(p, func(s *profile.Sample) bool { return ours(s) && onStack(s, "narrows.burn") })
	if spun == 0 || float64(burnt) < 0.95*float64(spun) {
		t.Errorf("%d of the spinner's %d ns are in burn", burnt, spun)
	}
	checkPprof(t, filepath.Join(dir, session.CPU), map[string]int64{
		"process=^" + spinnerName + "$": weight(p, spinners),
		fmt.Sprintf("pid=%d", pid):      spun,
	})
}

// checkPprof checks that go tool pprof takes the profile, and that each selection
// by a string or a number comes to the nanoseconds given for it.
func checkPprof(t *testing.T, path string, selections map[string]int64) {
	t.Helper()
	showing := func(focus string) string {
		top := pprof(t, "-top", "-unit=ns", "-nodefraction=0", "-nodecount=100000", "-tagfocus="+focus, path)
		match := regexp.MustCompile(`accounting for (\d+)ns`).FindStringSubmatch(top)
		if match == nil || !strings.Contains(top, "narrows.burn") {
			t.Fatalf("go tool pprof -top -tagfocus=%s:\n%s", focus, top)
		}
		return match[1]
	}
	for focus, want := range selections {
		if got := showing(focus); got != strconv.FormatInt(want, 10) {
			t.Errorf("-tagfocus=%s selects %s ns, want %d", focus, got, want)
		}
	}
	if list := pprof(t, "-list=narrows.burn$", path); !strings.Contains(list, "x ^= x << 13") {
		t.Errorf("go tool pprof -list shows no source:\n%.2000s", list)
	}
	if traces := pprof(t, "-traces", path); !strings.Contains(traces, "narrows.burn") || !strings.Contains(traces, "process:  "+spinnerName) && !strings.Contains(traces, "process:"+spinnerName) {
		t.Errorf("go tool pprof -traces:\n%.2000s", traces)
	}
}

func onStack(s *profile.Sample, function string) bool {
	for _, location := range s.Location {
		for _, line := range location.Line {
			if strings.HasSuffix(line.Function.Name, function) {
				return true
			}
		}
	}
	return false
}

// checkAccounting checks that all busy time is accounted for and that the price
// and the losses are told.
func checkAccounting(t *testing.T, s *session.Session) {
	t.Helper()
	if s.Accounting == nil || s.OwnCost == nil {
		t.Fatalf("accounting %v, own cost %v", s.Accounting, s.OwnCost)
	}
	total := s.Accounting.Total
	// On a CPU that idles now and then the number of its ticks is chance.
	least := 0.99
	if total.IdleNS > total.ExpectedNS/20 {
		least -= 3 / math.Sqrt(float64(max(total.Samples, 1)))
	}
	if seen := float64(total.SeenNS) / float64(total.ExpectedNS); !(seen > least) {
		t.Errorf("%d of %d ns were seen: %.2f %%, want more than %.1f", total.SeenNS, total.ExpectedNS, 100*seen, 100*least)
	}
	sum := session.Time{}
	for _, c := range s.Accounting.ByCPUAndWindow {
		sum.ExpectedNS += c.ExpectedNS
		sum.SeenNS += c.SeenNS
		sum.LostNS += c.LostNS
		sum.StealNS += c.StealNS
		sum.TickingNS += c.TickingNS
		sum.IdleNS += c.IdleNS
		sum.Samples += c.Samples
	}
	if diff := cmp.Diff(total, sum); diff != "" {
		t.Errorf("CPUs and windows do not add up to the total (-total +sum):\n%s", diff)
	}
	cost := s.OwnCost
	if !(cost.CPUUserSeconds > 0 && cost.CPUSystemSeconds > 0 && cost.EBPFRunSeconds > 0 && cost.EBPFRuns > 0 && cost.PeakMemoryBytes > 1<<20) {
		t.Errorf("own cost %+v, want all of it measured", cost)
	}
	var reasons []string
	for _, l := range s.Losses {
		reasons = append(reasons, l.Reason)
	}
	if !slices.Contains(reasons, "fork without a record") || len(reasons) < 5 {
		t.Errorf("the losses listed are %q", reasons)
	}
}

// checkWindows checks that a session has about so many windows and that they add
// up to the whole.
func checkWindows(t *testing.T, dir string, atLeast int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "windows", "*", session.CPU))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < atLeast {
		t.Errorf("%d windows, want at least %d", len(paths), atLeast)
	}
	total := map[string]int64{}
	for _, path := range paths {
		for name, sum := range sums(readProfile(t, path)) {
			total[name] += sum
		}
	}
	whole := sums(readProfile(t, filepath.Join(dir, session.CPU)))
	if diff := cmp.Diff(whole, total); diff != "" || whole["samples"] == 0 || whole["cpu"] == 0 {
		t.Errorf("windows do not add up to the whole (-whole +sum):\n%s", diff)
	}
}

// checkPlainLines checks what is printed in a pipe: these lines, and no escapes.
func checkPlainLines(t *testing.T, got string, lines ...string) {
	t.Helper()
	if want := strings.Join(lines, "\n") + "\n"; got != want {
		t.Errorf("in a pipe %q is printed, want %q", got, want)
	}
}

// A command keeps every CPU busy: the same truth, and only the command's samples.
func TestRecordCommand(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "record", "-F", "499", "--window", "500ms", "-o", "s", "--",
		filepath.Join(programs, spinnerName), strconv.Itoa(runtime.NumCPU()), "2s")
	cmd.Env = append(os.Environ(), "SUDO_UID=12345", "SUDO_GID=23456")
	r := succeed(t, cmd)
	dir := filepath.Join(cmd.Dir, "s")
	s := checkSession(t, dir)
	checkAccounting(t, s)
	checkWindows(t, dir, 4)
	ownedBy(t, dir, 12345, 23456)
	pid, _, _ := strings.Cut(r.stdout, "\n")
	var found []string
	for pid := range pids(readProfile(t, filepath.Join(dir, session.CPU))) {
		found = append(found, strconv.FormatInt(pid, 10))
	}
	if !slices.Equal(found, []string{pid}) {
		t.Errorf("samples of the processes %v, want %s alone", found, pid)
	}
}

// A command that fails loses nothing: its recording is whole, and its status is
// passed on.
func TestRecordFailingCommand(t *testing.T) {
	requireRecording(t)
	for _, test := range []struct {
		script string
		status int
		says   string
	}{
		{"exit 7", 7, "exit status 7"},
		{"kill -KILL $$", 137, "signal: killed"},
	} {
		cmd := narrows(t, "record", "-o", "s", "--", "sh", "-c", test.script)
		r := finish(t, cmd)
		if r.status != test.status || !strings.Contains(r.stderr, test.says) || !strings.Contains(r.stdout, "written to  s") {
			t.Errorf("%s: exit status %d, want %d\n%s%s", test.script, r.status, test.status, r.stdout, r.stderr)
		}
		s := checkSession(t, filepath.Join(cmd.Dir, "s"))
		if s.Status != session.Complete || len(s.Profiles) != signals {
			t.Errorf("%s: status %q, profiles %v", test.script, s.Status, s.Profiles)
		}
	}
}

// --no-waits and --no-faults record the CPU alone, and say nothing of waits.
func TestRecordWithoutWaits(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "record", "--no-waits", "--no-faults", "-d", "300ms", "-o", "s")
	r := succeed(t, cmd)
	s := checkSession(t, filepath.Join(cmd.Dir, "s"))
	if len(s.Profiles) != 1 || s.Profiles[0].File != session.CPU || s.OwnCost.WaitRuns+s.OwnCost.FaultRuns != 0 || strings.Contains(r.stdout, "\nwaits") {
		t.Errorf("profiles %v, %d runs of programs on waits\n%s", s.Profiles, s.OwnCost.WaitRuns, r.stdout)
	}
}

// --kernel-alloc adds a profile like Go's heap profile; without it nothing is said of the
// kernel's memory, and none of its programs run.
func TestRecordKernelAllocs(t *testing.T) {
	requireRecording(t)
	for _, flags := range [][]string{{"--kernel-alloc", "--kernel-alloc-rate", "1"}, nil} {
		cmd := narrows(t, append(append([]string{"record", "--no-waits", "--no-faults"}, flags...), "-d", "300ms", "-o", "s")...)
		r := succeed(t, cmd)
		dir := filepath.Join(cmd.Dir, "s")
		s := checkSession(t, dir)
		if flags == nil {
			if len(s.Profiles) != 1 || s.OwnCost.KernelAllocRuns != 0 || s.KernelMemory != nil || strings.Contains(r.stdout, "\nkernel") {
				t.Errorf("profiles %v, %d runs of programs on the kernel's allocations\n%s", s.Profiles, s.OwnCost.KernelAllocRuns, r.stdout)
			}
			continue
		}
		path := filepath.Join(dir, session.KernelAlloc)
		var types []string
		for _, t := range readProfile(t, path).SampleType {
			types = append(types, t.Type+"/"+t.Unit)
		}
		if diff := cmp.Diff([]string{"alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"}, types); diff != "" {
			t.Errorf("sample types (-want +got):\n%s", diff)
		}
		if s.OwnCost.KernelAllocRuns == 0 || s.KernelMemory == nil || s.KernelMemory.Objects == 0 || !strings.Contains(r.stdout, "-sample_index=inuse_space s/kernel-alloc.pb.gz") {
			t.Errorf("%+v\n%s", s.KernelMemory, r.stdout)
		}
		if top := pprof(t, "-top", "-sample_index=alloc_space", "-tagfocus=kind=slab", path); !strings.Contains(top, "kmem_cache_alloc") {
			t.Errorf("no object was allocated:\n%s", top)
		}
	}
}

// -p keeps a process and the children it starts later, and nothing else.
func TestRecordProcess(t *testing.T) {
	requireRecording(t)
	_, bystander := startSpinner(t, 1)
	spinner := filepath.Join(programs, spinnerName)
	parent := launch(t, exec.Command("sh", "-c", fmt.Sprintf("echo $$; sleep 1; %s 1 2s & wait", spinner)))
	cmd := narrows(t, "record", "-F", "499", "-d", "2s", "-o", "x.pb.gz", "-p", parent.line(t))
	succeed(t, cmd)
	child, err := strconv.ParseInt(parent.line(t), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	p := readProfile(t, filepath.Join(cmd.Dir, "x.pb.gz"))
	found := pids(p)
	if found[child] < 20 || found[int64(bystander)] > 0 {
		t.Errorf("samples by process %v, want many of the child %d and none of %d", found, child, bystander)
	}
	for _, s := range p.Sample {
		if name := s.Label["process"]; !slices.Contains([]string{"sh", "sleep", spinnerName}, name[0]) {
			t.Errorf("samples of %q, which the process did not start", name)
		}
	}
}

// makeCgroup creates a cgroup for the test, or skips.
func makeCgroup(t *testing.T) string {
	t.Helper()
	mounts, err := procfs.GetMounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if m.FSType != "cgroup2" {
			continue
		}
		dir := filepath.Join(m.MountPoint, fmt.Sprintf("narrows-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skip("no cgroup can be created here: ", err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		return dir
	}
	t.Skip("no cgroup v2 hierarchy is mounted")
	return ""
}

func TestRecordCgroup(t *testing.T) {
	requireRecording(t)
	cgroup := makeCgroup(t)
	startSpinner(t, 1) // what must not be kept
	inside, pid := startSpinner(t, 1)
	if err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := narrows(t, "record", "-F", "499", "-d", "1s", "-o", "x.pb.gz", "--cgroup", filepath.Base(cgroup))
	succeed(t, cmd)
	inside.Process.Kill() // or the cgroup cannot be removed
	inside.wait()
	found := pids(readProfile(t, filepath.Join(cmd.Dir, "x.pb.gz")))
	if len(found) != 1 || found[int64(pid)] < 20 {
		t.Errorf("samples by process %v, want many of %d alone", found, pid)
	}
}

// A file in place of a session: one flame graph or one profile, for its owner.
func TestRecordToFile(t *testing.T) {
	requireRecording(t)
	busy(t)
	for _, name := range []string{"x.svg", "x.pb.gz"} {
		cmd := narrows(t, "record", "-F", "499", "-d", "500ms", "-o", name)
		cmd.Env = append(os.Environ(), "SUDO_UID=12345", "SUDO_GID=23456")
		r := succeed(t, cmd)
		path := filepath.Join(cmd.Dir, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 || !strings.Contains(r.stdout, "written to  "+name) {
			t.Errorf("mode %v\n%s", info.Mode(), r.stdout)
		}
		ownedBy(t, path, 12345, 23456)
		if left := entries(t, cmd.Dir); len(left) != 1 {
			t.Errorf("the folder holds %v", left)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if name == "x.pb.gz" {
			if weight(readProfile(t, path), spinners) == 0 {
				t.Error("the profile lacks the spinner")
			}
			continue
		}
		checkSVG(t, content)
		if !strings.Contains(string(content), "narrows.burn") {
			t.Error("the flame graph lacks the spinner")
		}
	}
}
