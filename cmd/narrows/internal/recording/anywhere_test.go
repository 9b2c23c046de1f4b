package recording

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// What must hold on every kernel, without a compiler and whatever the speed of the
// machine: a recording starts, its samples belong to the process that ran, their
// stacks are named to the root, and labels reach them.
func TestRecordsOnThisKernel(t *testing.T) {
	requireRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "NARROWS_TEST_TARGET=split")
	target := startTarget(t, cmd)
	p, _ := record(t, 199, time.Second, func(r *Recording) {
		r.Collector().Service("target", cmd.Process.Pid)
		time.Sleep(time.Second)
		r.Collector().Mark("Benchmark", "phase")
		time.Sleep(4 * time.Second)
		r.Collector().Mark("", "")
		target.end(t) // stopping a recording can take long on an emulated machine
	})

	shares, n := share(p, []string{"goHalf", "goThird", "goFifth"}, ofProcess(cmd.Process.Pid))
	t.Logf("%d samples: %v", n, shares)
	if n < 100 {
		t.Errorf("%d samples of a process that was busy for 5 s at 199 Hz", n)
	}
	if !(shares["goHalf"] > shares["goThird"] && shares["goThird"] > shares["goFifth"] && shares["goFifth"] > 0) {
		t.Errorf("shares are not in the order of the truth, 50, 30 and 20: %v", shares)
	}
	var working, marked, rooted int64
	for _, s := range p.Sample {
		if !ofProcess(cmd.Process.Pid)(s) {
			continue
		}
		if s.HasLabel("service", "target") && s.HasLabel("benchmark", "Benchmark") && s.HasLabel("phase", "phase") {
			marked += s.Value[0]
		}
		if findFunction(s, []string{"goHalf", "goThird", "goFifth"}) == "" {
			continue // the runtime's own threads
		}
		working += s.Value[0]
		if findFunction(s, []string{"goSplit"}) != "" && findFunction(s, []string{"main"}) != "" && len(s.Label["unwind"]) == 0 {
			rooted += s.Value[0]
		}
	}
	if marked < n/2 {
		t.Errorf("%d of %d samples carry the labels of four of the five seconds", marked, n)
	}
	if rooted < working*95/100 {
		t.Errorf("%d of %d stacks of the program's work reach main and are complete", rooted, working)
	}
}
