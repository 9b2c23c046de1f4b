package rank

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

const second = int64(1e9)

// waitBuilder makes profiles of waits; frames of the kernel begin with "k:".
type waitBuilder struct{ *builder }

func newWaits(types ...string) waitBuilder {
	b := newBuilder()
	b.p.SampleType = nil
	for _, text := range types {
		name, unit, _ := strings.Cut(text, "/")
		b.p.SampleType = append(b.p.SampleType, &profile.ValueType{Type: name, Unit: unit})
	}
	b.p.Mapping = append(b.p.Mapping, &profile.Mapping{ID: 2, Start: 1 << 40, Limit: 1 << 41, File: "[kernel.kallsyms]"})
	return waitBuilder{b}
}

func offCPU() waitBuilder    { return newWaits("waits/count", "offcpu/nanoseconds") }
func lockDelay() waitBuilder { return newWaits("contentions/count", "delay/nanoseconds") }

func (b waitBuilder) add(stack string, count, ns int64, labels ...string) waitBuilder {
	b.builder.add(stack, 0, labels...)
	s := b.p.Sample[len(b.p.Sample)-1]
	s.Value = []int64{count, ns}
	if len(b.p.SampleType) == 1 {
		s.Value = s.Value[1:]
	}
	for _, l := range s.Location {
		if name, ok := strings.CutPrefix(l.Line[0].Function.Name, "k:"); ok {
			l.Line[0].Function.Name, l.Mapping = name, b.p.Mapping[1]
		}
	}
	return b
}

// recorded is what a session of ten seconds on two CPUs has.
type recorded struct {
	cpu                      *builder
	off, waited, blame, held waitBuilder
	alloc, fault             taken // empty if that was not recorded
	queues                   map[string]float64
	documents                []metrics.Document
}

func record() recorded {
	return recorded{cpu: newBuilder(), off: offCPU(), waited: lockDelay(), blame: lockDelay(), held: newWaits("blame/nanoseconds")}
}

func (r recorded) rank(t *testing.T) *Report {
	t.Helper()
	var tally Tally
	if r.alloc.builder != nil {
		if err := errors.Join(tally.AddAlloc(r.alloc.p), tally.AddFault(r.fault.p)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		add func(*profile.Profile) error
		p   *profile.Profile
	}{{tally.Add, r.cpu.p}, {tally.AddOffCPU, r.off.p}, {tally.AddLockWait, r.waited.p}, {tally.AddLockBlame, r.blame.p}, {tally.AddLockHeld, r.held.p}} {
		if err := step.p.CheckValid(); err != nil {
			t.Fatal(err)
		}
		if err := step.add(step.p); err != nil {
			t.Fatal(err)
		}
	}
	report, err := tally.Report(r.documents, Options{Top: 10, CPUs: 2, Seconds: map[string]float64{"FirstTokenLatencyBenchmark": 10}, Queues: r.queues})
	if err != nil {
		t.Fatal(err)
	}
	validate(t, "bottleneck_report.schema.json", report)
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := decode(data); err != nil {
		t.Error(err)
	} else if diff := cmp.Diff(report, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	return report
}

// line is an entry in few words.
func line(e Entry) string {
	text := e.What + " " + e.Function
	if len(e.Holders) > 0 {
		text += " < " + e.Holders[0].What
	}
	return text + ": " + e.Cause
}

func lines(r *Report) (list []string, shares []float64) {
	for _, e := range r.Ranked[0].Services[0].ByTime {
		list, shares = append(list, line(e)), append(shares, e.TimeShare)
	}
	return list, shares
}

// A service of C whose threads wait 15 of 10 s for a lock that is held across fsync, 2 s for
// the disk, 1 s for a CPU, and compute for 4 s; others wait for work.
func TestWaitsAndCPUAreOneList(t *testing.T) {
	r := record()
	r.cpu.add("matmul;worker;start_thread", 400, first, ryot)
	r.off.
		add("k:futex_do_wait;__lll_lock_wait;___pthread_mutex_lock;evict;worker;start_thread", 30, 15*second, first, ryot, "state=futex").
		add("k:io_schedule;fsync;flush;evict;worker;start_thread", 20, 2*second, first, ryot, "state=io").
		add("matmul;worker;start_thread", 50, second/2, first, ryot, "state=runnable").
		add("k:io_schedule;fsync;flush;evict;worker;start_thread", 50, second/2, first, ryot, "state=runnable").
		add("k:ep_poll;epoll_wait;main;_start", 9, 10*second, first, ryot, "state=idle").
		add("k:sk_wait_data;recv;serve;start_thread", 9, 10*second, first, ryot, "state=socket").
		add("k:do_exit;f", 9, 10*second, first, "state=io") // of no service
	r.waited.add("k:futex_do_wait;__lll_lock_wait;___pthread_mutex_lock;evict;worker;start_thread", 30, 15*second, first, ryot, "state=futex", "lock=10:0x1", "lock_kind=futex").
		add("k:futex_do_wait;___pthread_cond_wait;worker;start_thread", 2, 10*second, first, ryot, "state=idle", "lock=10:0x2", "lock_kind=futex")
	r.blame.add("___pthread_mutex_unlock;evict;worker;start_thread", 30, 12*second, first, ryot, "lock=10:0x1").
		add("___pthread_mutex_unlock;lookup;worker;start_thread", 30, 3*second, first, ryot, "lock=10:0x1")
	r.held.add("k:io_schedule;fsync;flush;evict", 0, 14*second, first, ryot, "lock=10:0x1", "state=io").
		add("evict", 0, second, first, ryot, "lock=10:0x1", "state=running")
	report := r.rank(t)
	got, shares := lines(report)
	want := []string{
		"mutex evict < evict: lock held across I/O", "CPU matmul: computes", "io flush: disk", "runnable [waiting for a CPU]: slow to get a CPU",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("entries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{1.5, 0.4, 0.2, 0.1}, shares); diff != "" {
		t.Errorf("shares of the time (-want +got):\n%s", diff)
	}
	s := report.Ranked[0].Services[0]
	lock := s.ByTime[0]
	if diff := cmp.Diff([]Part{{"evict", 12 * second, 0.8}, {"lookup", 3 * second, 0.2}}, lock.Holders); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	if lock.Lock != "10:0x1" || lock.Held[0].What != "io" || lock.Payoff != nil || lock.Unavailable["payoff"] == "" || len(lock.Stacks) != 1 || lock.Stacks[0].Functions[2] != "evict" {
		t.Errorf("the lock is %+v", lock)
	}
	if *s.Bottlenecks[0].TimeShare != 0.4 || *report.Ranked[0].WallSeconds != 10 || *report.Ranked[0].CPUsBusy != 0.2 {
		t.Errorf("the CPU place has %v of %v s, busy %v", *s.Bottlenecks[0].TimeShare, *report.Ranked[0].WallSeconds, *report.Ranked[0].CPUsBusy)
	}
	unranked := map[string]int64{noWork: 20 * second, unknowing: 10 * second}
	for _, u := range s.Unranked {
		if unranked[u.Reason] != u.NS {
			t.Errorf("%d ns are not ranked: %s", u.NS, u.Reason)
		}
		delete(unranked, u.Reason)
	}
	if len(unranked) > 0 {
		t.Errorf("not said: %v", unranked)
	}
}

const goServe = ";net/http.HandlerFunc.ServeHTTP;net/http.serverHandler.ServeHTTP;net/http.(*conn).serve;runtime.goexit"

// Goroutines: one place for each function and kind of wait. Loops of workers, waits for what
// was started, and waits until the end are no places.
func TestGoroutinesThatWait(t *testing.T) {
	r := record()
	r.cpu.add("score;log;handle"+goServe, 300, first, ryot)
	wait := func(stack, kind, lock string, count, ns int64) {
		r.waited.add(stack, count, ns, first, ryot, "state=go", "lock_kind="+kind, "lock="+lock)
	}
	wait("sync.(*Mutex).Lock;x.(*lineLog).scored;x.search"+goServe, "sync.Mutex", "10:go:0x1", 90, second)
	wait("sync.(*Mutex).Lock;x.(*lineLog).scored;x.other"+goServe, "sync.Mutex", "10:go:0x9", 10, second/4)
	wait("runtime.selectgo;x.(*queue).awaitWorker;x.invoke"+goServe, "select", "10:go:at:0x2", 40, 20*second)
	wait("runtime.chanrecv1;x.worker;runtime.goexit", "chan receive", "10:go:0x3", 400, 9*second)
	wait("runtime.chanrecv1;a;b;c;main.main;runtime.main;runtime.goexit", "chan receive", "10:go:0x4", 0, 10*second)
	wait("runtime.selectgo;a;b;c;d;e;x.watch;runtime.goexit", "select", "10:go:at:0x5", 1, 10*second)
	wait("sync.(*WaitGroup).Wait;x.all;a;b"+goServe, "sync.WaitGroup", "10:go:0x6", 99, 9*second)
	r.blame.add("sync.(*Mutex).Unlock;x.(*lineLog).scored.deferwrap1;x.(*lineLog).scored;x.search"+goServe, 90, 8*second, first, ryot, "lock=10:go:0x1").
		add("runtime.chansend1;x.(*queue).giveBack;x.invoke"+goServe, 40, 20*second, first, ryot, "lock=10:go:at:0x2")
	report := r.rank(t)
	got, shares := lines(report)
	want := []string{
		"select x.(*queue).awaitWorker < x.(*queue).giveBack: queue: too few workers",
		"CPU score: computes",
		"sync.Mutex x.(*lineLog).scored < x.(*lineLog).scored: logging under a lock",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{2, 0.3, 0.125}, shares); diff != "" {
		t.Errorf("shares of the time (-want +got):\n%s", diff)
	}
}

// While no CPU is idle, whoever uses them, or is held up by a lock, its queues are no bottleneck
// of their own.
func TestQueuesBehindOtherPlaces(t *testing.T) {
	for _, test := range []struct {
		reason                        string
		cpu, others, runnable, locked int64
	}{{awaited, 1900, 0, 0, 0}, {awaited, 200, 1700, 0, 0}, {awaited, 900, 0, 8 * second, 0}, {behind, 200, 0, 0, second}, {"", 200, 1000, second, second / 2}} {
		r, reason := record(), test.reason
		r.cpu.add("elsewhere", test.others, first)
		r.off.add("score;handle"+goServe, 9, test.runnable, first, ryot, "state=runnable").
			add("k:futex_do_wait;runtime.futex", 1, 0, first, ryot, "state=futex")
		r.waited.add("k:futex_do_wait;runtime.futex;runtime.futexsleep;runtime.notesleep", 1, second, first, ryot, "state=futex", "lock=10:0x7")
		r.cpu.add("score;handle"+goServe, test.cpu, first, ryot)
		r.waited.add("runtime.selectgo;x.(*queue).awaitWorker;x.invoke"+goServe, 40, 20*second, first, ryot, "state=go", "lock_kind=select", "lock=10:go:at:0x2").
			add("sync.(*Mutex).Lock;x.locked;x.invoke"+goServe, 40, test.locked, first, ryot, "state=go", "lock_kind=sync.Mutex", "lock=10:go:0x3")
		s := r.rank(t).Ranked[0].Services[0]
		if reason == "" {
			if len(s.Unranked) != 1 || s.Unranked[0] != (Unranked{runtimes, second}) || s.ByTime[0].What != "select" {
				t.Errorf("not held up: %+v, not ranked %v", s.ByTime, s.Unranked)
			}
			continue
		}
		if len(s.Unranked) != 2 || s.Unranked[0] != (Unranked{reason, 20 * second}) || s.ByTime[0].What == "select" {
			t.Errorf("%s: not ranked: %v", reason, s.Unranked)
		}
	}
}

// What is known of the holders of Go's locks is what was done below the function that lets
// go.
func TestWhatHoldersOfGoLocksDid(t *testing.T) {
	for want, state := range map[string]string{"lock held across I/O": "io", "lock held without a CPU": "runnable", "lock held while on CPU": ""} {
		r := record()
		r.cpu.add("seal;vault.put;vault.locked;serve"+goServe, 100, first, ryot)
		r.waited.add("sync.(*Mutex).Lock;vault.locked;serve"+goServe, 9, 9*second, first, ryot, "state=go", "lock_kind=sync.Mutex", "lock=10:go:0x1")
		r.blame.add("sync.(*Mutex).Unlock;vault.locked.deferwrap1;vault.locked;serve"+goServe, 9, 9*second, first, ryot, "lock=10:go:0x1")
		if state != "" {
			r.off.add("k:io_schedule;syscall.Syscall;syscall.Fsync;os.(*File).Sync;vault.put;vault.locked;serve"+goServe, 9, 3*second, first, ryot, "state="+state)
		}
		got, _ := lines(r.rank(t))
		if len(got) == 0 || got[0] != "sync.Mutex vault.locked < vault.locked: "+want {
			t.Errorf("%q, want %s", got, want)
		}
	}
}

// One function takes a lock and another lets it go: what the holder did is below the one that
// calls both, however much is done outside of it.
func TestWhatHoldersOfGoLocksDidElsewhere(t *testing.T) {
	r := record()
	r.cpu.add("write;log.line;rank;task"+goServe, 700, first, ryot).add("think;task"+goServe, 100, first, ryot)
	r.waited.add("sync.(*Mutex).Lock;log.begin;rank;task"+goServe, 9, 9*second, first, ryot, "state=go", "lock_kind=sync.Mutex", "lock=10:go:0x1")
	r.blame.add("sync.(*Mutex).Unlock;log.end;rank;task"+goServe, 9, 9*second, first, ryot, "lock_kind=sync.Mutex", "lock=10:go:0x1")
	e := r.rank(t).Ranked[0].Services[0].ByTime[0]
	if e.Function != "log.begin" || len(e.Held) != 1 || e.Held[0].What != "running" || e.Held[0].NS != 7*second || !strings.Contains(e.HeldBasis, "below rank,") {
		t.Errorf("%s: held %v, %s", e.Function, e.Held, e.HeldBasis)
	}
}

func TestConvoysAndClosedLoops(t *testing.T) {
	r := record()
	r.cpu.add("f", 100, first, ryot)
	r.queues = map[string]float64{"10:0x1": 3.25}
	r.documents = []metrics.Document{{Benchmark: "FirstTokenLatencyBenchmark", Status: metrics.Complete, Load: metrics.Load{Model: "closed-loop"}}}
	r.waited.add("___pthread_mutex_lock;hot;start_thread", 9, 30*second, first, ryot, "state=futex", "lock=10:0x1", "lock_kind=mutex").
		add("___pthread_mutex_lock;cold;start_thread", 9, second, first, ryot, "state=futex", "lock=10:0x2", "lock_kind=mutex")
	report := r.rank(t)
	got, _ := lines(report)
	if diff := cmp.Diff([]string{"mutex hot: convoy", "CPU f: computes", "mutex cold: contention"}, got); diff != "" {
		t.Fatalf("entries (-want +got):\n%s", diff)
	}
	list := report.Ranked[0].Services[0].ByTime
	if p := list[0].Payoff; p == nil || p.SavingAtMost != 1 || p.SpeedupAtMost != nil {
		t.Errorf("payoff of a wait of several threads: %+v", p)
	}
	if p := list[2].Payoff; p == nil || p.SavingAtMost != 0.1 || !strings.Contains(p.Statement, "at most 10.0 % of the time that FirstTokenLatencyBenchmark ran") {
		t.Errorf("payoff %+v", p)
	}
}

// Without locks' profiles, off-CPU time tells of waits for locks too; without the time that a
// benchmark ran there is no list.
func TestLessRecorded(t *testing.T) {
	r := record()
	r.off.add("k:futex_do_wait;___pthread_mutex_lock;evict;worker;start_thread", 3, 5*second, first, ryot, "state=futex")
	if got, _ := lines(r.rank(t)); len(got) != 1 || got[0] != "futex evict: contention" {
		t.Errorf("entries %q", got)
	}
	report := rankAll(t, nil, newBuilder().add("f", 100, first, ryot))
	if s := report.Ranked[0].Services[0]; len(s.ByTime) != 0 || s.Bottlenecks[0].TimeShare != nil || s.Bottlenecks[0].Unavailable["time_share"] == "" {
		t.Errorf("the time is not known, but ranked is %+v", s)
	}
}

func TestForemostByTimeListsAPlaceOnce(t *testing.T) {
	entry := func(benchmark, function string, share float64) Entry {
		return Entry{Benchmark: benchmark, Function: function, Signal: Lock, What: "mutex", TimeShare: share}
	}
	r := Report{Ranked: []Measured{
		{Services: []Service{{Service: "s", ByTime: []Entry{entry("A", "f", 0.5), entry("A", "g", 0.4)}}}},
		{Services: []Service{{Service: "s", ByTime: []Entry{entry("B", "f", 0.9)}}, {Service: "o", ByTime: []Entry{entry("B", "x", 9)}}}},
	}}
	got := r.ForemostByTime("s", 3)
	if len(got) != 2 || got[0].Benchmark != "B" || got[1].Function != "g" || len(got[0].AlsoIn) != 1 || got[0].AlsoIn[0] != (EntryElsewhere{"A", 0.5}) {
		t.Errorf("foremost %+v", got)
	}
}

func TestForgedWaitsAreRefused(t *testing.T) {
	var tally Tally
	if tally.AddOffCPU(offCPU().add("f", 1, -1, "state=io").p) == nil || tally.AddOffCPU(lockDelay().p) == nil {
		t.Error("ranked")
	}
}

// Phases of a benchmark that overlap, and times that it ran again, are added up once each.
func TestHowLongBenchmarksRan(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(1000+seconds), 0) }
	s := &session.Session{}
	s.Start, s.End = at(0), at(60)
	s.Benchmarks = []session.Benchmark{
		{Benchmark: "A", Start: at(10), End: at(20)}, {Benchmark: "A", Phase: "x", Start: at(12), End: at(15)},
		{Benchmark: "A", Phase: "y", Start: at(18), End: at(23)}, {Benchmark: "B", Start: at(30), End: at(31)}, {Benchmark: "A", Start: at(40), End: at(42)},
	}
	if diff := cmp.Diff(map[string]float64{"": 60, "A": 15, "B": 1}, ran(s)); diff != "" {
		t.Errorf("seconds (-want +got):\n%s", diff)
	}
}

func TestEvidenceOfWaits(t *testing.T) {
	key := groupKey{"B", "s"}
	for _, test := range []struct {
		signal         Signal
		function, want string
	}{
		{Lock, "x.f", `-sample_index=delay -relative_percentages -tagfocus='^benchmark:B$,^service:s$' -peek='^x\.f$' lock-wait.pb.gz`},
		{OffCPU, "[unnamed code in libc.so.6]", `-sample_index=offcpu -relative_percentages -tagfocus='^benchmark:B$,^service:s$' -peek='^\[libc\.so\.6\+0x[0-9a-f]+\]$' offcpu.pb.gz`},
		{Runnable, noCPU, `-sample_index=offcpu -relative_percentages -tagfocus='^benchmark:B$,^service:s$,^state:runnable$' -top offcpu.pb.gz`},
	} {
		if got := waitCommand(test.signal, key, test.function); got != "go tool pprof -symbolize=none "+test.want {
			t.Errorf("got  %s\nwant go tool pprof -symbolize=none %s", got, test.want)
		}
	}
}
