package recording

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// life builds one of the programs of testdata/life.c: its hot function is named
// after it, and without PIE all of them have it at the same address.
func life(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	return compile(t, filepath.Join(dir, name), append(append([]string{"-no-pie"}, named(name)...), args...)...)
}

func library(t *testing.T, dir, name string) string {
	t.Helper()
	return compile(t, filepath.Join(dir, name+".so"), append([]string{"-shared", "-fPIC", "-DLIBRARY"}, named(name)...)...)
}

// named makes programs differ in their code as well: GNU ld leaves symbol names out
// of the build ID, so those that differed in nothing else would pass for one.
func named(name string) []string {
	h := fnv.New32()
	h.Write([]byte(name))
	return []string{"-DSPIN=spin_" + name, fmt.Sprintf("-DSALT=%d", h.Sum32()>>1), "testdata/life.c"}
}

func run(t *testing.T, program string, args ...string) int {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%s %s: %v", program, strings.Join(args, " "), err)
	}
	return cmd.Process.Pid
}

// spent sums the CPU time of all samples whose stack has the function, by
// process name and PID.
func spent(p *profile.Profile, function string) map[string]float64 {
	sums := map[string]float64{}
	for _, s := range p.Sample {
		if findFunction(s, []string{function}) != "" {
			key := fmt.Sprintf("%s/%d", s.Label["process"][0], s.NumLabel["pid"][0])
			sums[key] += float64(s.Value[1]) / 1e9
		}
	}
	return sums
}

// totalOf sums by the prefix of the process's name.
func totalOf(sums map[string]float64, prefix string) (mine, others float64) {
	for key, s := range sums {
		if strings.HasPrefix(key, prefix) {
			mine += s
		} else {
			others += s
		}
	}
	return mine, others
}

// about tells whether a time is what it should be, give or take the scatter of
// sampling.
func about(got, want float64) bool { return got > 0.8*want && got < 1.2*want+0.05 }

// Each program here ends within a window, and most share addresses with another:
// only the order of events tells them apart.
func TestProcessesAreNotMixedUp(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	first, second := life(t, dir, "first"), life(t, dir, "second")
	forking, reusing := life(t, dir, "forking"), life(t, dir, "reusing")
	loading := life(t, dir, "loading", "-ldl")
	a, b := library(t, dir, "a"), library(t, dir, "b")
	short, deleted, replaced := life(t, dir, "short"), life(t, dir, "deleted"), life(t, dir, "replaced")
	boxed := life(t, dir, "boxed", "-static")
	free := freePID(t)

	var firstPID, forkPID int
	p, _ := record(t, 997, time.Second, func(*Recording) {
		firstPID = run(t, first, "exec", second)
		forkPID = run(t, forking, "fork")
		run(t, reusing, "reuse", strconv.Itoa(free), first, second)
		run(t, loading, "dlopen", a, b)
		for range 100 {
			run(t, short, "spin", "0.005")
		}
		runDeleted(t, deleted)
		runReplaced(t, replaced, second)
		runBoxed(t, boxed)
	})

	firsts, seconds := spent(p, "spin_first"), spent(p, "spin_second")
	key := func(name string, pid int) string { return fmt.Sprintf("%s/%d", name, pid) }
	t.Logf("first %v, second %v", firsts, seconds)
	if got := firsts[key("first", firstPID)]; !about(got, 0.5) {
		t.Errorf("before its exec the process spent %.2f s in spin_first, want 0.5", got)
	}
	if got := seconds[key("second", firstPID)]; !about(got, 0.5) {
		t.Errorf("after its exec the process spent %.2f s in spin_second, want 0.5", got)
	}
	if got := firsts[key("first", free)]; !about(got, 0.5) {
		t.Errorf("the first process %d spent %.2f s in spin_first, want 0.5", free, got)
	}
	if got := seconds[key("second", free)]; !about(got, 0.5) {
		t.Errorf("the second process %d spent %.2f s in spin_second, want 0.5", free, got)
	}
	for what, sums := range map[string]map[string]float64{"first": firsts, "second": seconds} {
		if _, others := totalOf(sums, what+"/"); others > 0 {
			t.Errorf("spin_%s was seen in another program: %v", what, sums)
		}
	}

	forked := spent(p, "spin_forking")
	delete(forked, key("forking", forkPID))
	if child, _ := totalOf(forked, "forking/"); !about(child, 0.5) {
		t.Errorf("the forked child spent %.2f s in its parent's function, want 0.5", child)
	}
	for _, name := range []string{"a", "b"} {
		if mine, others := totalOf(spent(p, "spin_"+name), "loading/"); !about(mine, 0.5) || others > 0 {
			t.Errorf("spin_%s of the library that is loaded half of the time: %.2f s, want 0.5; elsewhere %.2f s", name, mine, others)
		}
	}
	for name, want := range map[string]float64{"short": 0.5, "deleted": 0.5, "replaced": 0.5, "boxed": 0.5} {
		if mine, _ := totalOf(spent(p, "spin_"+name), name+"/"); !about(mine, want) {
			t.Errorf("spin_%s: %.2f s, want %.1f", name, mine, want)
		}
	}
}

// freePID finds a number that no process has and none will soon get by itself.
func freePID(t *testing.T) int {
	t.Helper()
	for pid := 31_000; pid > 20_000; pid-- {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			return pid
		}
	}
	t.Skip("there is no free PID to use twice")
	return 0
}

// runDeleted removes the program's file while it runs.
func runDeleted(t *testing.T, program string) {
	t.Helper()
	cmd := exec.Command(program, "spin", "0.5")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(program); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// runBoxed runs the program in a root of its own, as a container does: its path means
// nothing outside.
func runBoxed(t *testing.T, program string) {
	t.Helper()
	root := t.TempDir()
	if err := os.Rename(program, filepath.Join(root, "boxed")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/boxed", "spin", "0.5")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/"
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

// runReplaced puts another program in the file's place while it runs.
func runReplaced(t *testing.T, program, other string) {
	t.Helper()
	cmd := exec.Command(program, "spin", "0.5")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program+".new", content, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(program+".new", program); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
