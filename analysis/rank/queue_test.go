package rank

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Tasks wait for a worker, and workers for what they have in common: they hand what they found
// to a keeper over a channel. Which of the two is the bottleneck is told by what the workers
// do.
func TestQueueBehindAQueue(t *testing.T) {
	const (
		handle = ";x.(*Server).admit;x.(*Server).perform" + goServe
		work   = ";x.(*Ranker).search;x.work" + handle
	)
	waitsForWorker, waitsForKeeper := "select x.(*queue).awaitWorker < x.(*queue).giveBack: queue: too few workers", "chan send x.(*table).report < x.(*table).keep: queue: too few workers"
	for _, test := range []struct {
		name              string
		computed, handing int64 // by the workers, in hundredths of a second and in seconds
		keeper            string
		want              []string
	}{
		{"workers compute", 500, 1, "", []string{waitsForWorker, "CPU score: computes", waitsForKeeper}},
		{"workers wait for the keeper", 500, 9, "", []string{waitsForKeeper, "CPU score: computes"}},
		{"the keeper waits for a worker", 500, 9, handle, []string{waitsForWorker, waitsForKeeper, "CPU score: computes"}},
	} {
		r := record()
		r.cpu.add("score"+work, test.computed, first, ryot)
		r.waited.add("runtime.selectgo;x.(*queue).awaitWorker"+handle, 40, 20*second, first, ryot, "state=go", "lock_kind=select", "lock=10:go:at:0x2").
			add("runtime.chansend1;x.(*table).report"+work, 400, test.handing*second, first, ryot, "state=go", "lock_kind=chan send", "lock=10:go:0x3")
		r.blame.add("runtime.chanrecv;x.(*queue).giveBack"+handle, 40, 20*second, first, ryot, "lock_kind=select", "lock=10:go:at:0x2").
			add("runtime.chanrecv1;x.(*table).keep"+test.keeper, 400, test.handing*second, first, ryot, "lock_kind=chan send", "lock=10:go:0x3")
		got, _ := lines(r.rank(t))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// What only a runtime's own functions did when they waited for a CPU is no place of a program.
func TestRuntimesThatWaitForACPU(t *testing.T) {
	r := record()
	r.off.add("k:futex_do_wait;runtime.futex;runtime.futexsleep;runtime.mstart", 90, 3*second, first, ryot, "state=runnable").
		add("score;handle"+goServe, 10, second, first, ryot, "state=runnable")
	report := r.rank(t)
	got, shares := lines(report)
	if diff := cmp.Diff([]string{"runnable [waiting for a CPU]: slow to get a CPU"}, got); diff != "" || shares[0] != 0.1 {
		t.Errorf("entries (-want +got):\n%s\nshares %v", diff, shares)
	}
	if s := report.Ranked[0].Services[0]; len(s.Unranked) != 1 || s.Unranked[0] != (Unranked{runtimes, 3 * second}) {
		t.Errorf("not ranked: %v", s.Unranked)
	}
}
