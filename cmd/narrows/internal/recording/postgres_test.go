package recording

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/report"
	"github.com/narrows-profiler/narrows/analysis/waits"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/internal/postgres"
)

// documented is what a session has of waits, and the profiles.
type documented struct {
	keepAll
	places *waits.Places
	tally  *waits.Tally
}

func (d *documented) Window(ctx context.Context, w collector.Window) error {
	seen := waitsOf(w)
	d.places.Name(&seen)
	d.tally.Add(seen)
	return d.keepAll.Window(ctx, w)
}

// postgresLoad is a script that some clients run on a database, and what came of it.
type postgresLoad struct {
	document *waits.Document
	profiles []*profile.Profile // where threads ran, and where they waited
	activity postgres.Activity
}

// recordPostgres records a database under a load of pgbench, and asks the database
// meanwhile what it waits for.
func recordPostgres(t *testing.T, sql string, clients int) postgresLoad {
	t.Helper()
	requireRoot(t)
	if os.Getenv("NARROWS_TEST_FULL") == "" {
		t.Skip("takes half a minute; set NARROWS_TEST_FULL")
	}
	server, err := postgres.Start(t.Context())
	if errors.Is(err, postgres.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	script, err := server.Script(sql)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := server.PID()
	if err != nil {
		t.Fatal(err)
	}
	command := server.Bench("-c", strconv.Itoa(clients), "-j", "2", "-T", "25", "-n", "-f", script)
	load := exec.Command(command[0], command[1:]...)
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	sink := &documented{places: waits.NewPlaces(), tally: waits.NewTally()}
	rec, err := Start(t.Context(), collector.Config{
		Frequency: 99, Window: 10 * time.Second, Waits: true, Selection: collector.Selection{PIDs: []int{pid}},
	}, sink)
	if err != nil {
		t.Fatal(err)
	}
	during, stop := context.WithTimeout(t.Context(), 14*time.Second)
	defer stop()
	activity, err := server.Watch(during, 20*time.Millisecond)
	summary, stopErr := rec.Stop()
	if err = errors.Join(err, stopErr, load.Wait()); err != nil {
		t.Fatal(err)
	}
	r := postgresLoad{document: sink.tally.Document(), activity: activity}
	r.profiles = append(sink.profiles[collector.OffCPU], sink.profiles[collector.CPU]...)
	var text strings.Builder
	if err := report.Waits(&text, r.document, false); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s\n%s", text.String(), Describe(summary))
	return r
}

// event is the wait event that PostgreSQL shows for a thread of which this is the stack,
// whether it sleeps, has been woken and waits for a CPU, or runs there.
func event(s *profile.Sample) string {
	on := func(functions ...string) bool {
		return slices.ContainsFunc(functions, func(f string) bool { return onStack(s, f) })
	}
	switch {
	case !on("PostgresMain"):
		return ""
	case on("PGSemaphoreLock") && on("LWLockAcquireOrWait"):
		return "LWLock:WALWrite"
	case on("PGSemaphoreLock"):
		return "LWLock, others"
	case on("WaitEventSetWait") && on("LockTuple"):
		return "Lock:tuple"
	case on("WaitEventSetWait") && on("XactLockTableWait"):
		return "Lock:transactionid"
	case on("__GI_fdatasync", "fdatasync") && on("XLogFlush"):
		return "IO:WALSync"
	}
	return ""
}

// compare compares how the waits divide among events with what the database says of its own,
// and gives the shares.
func (r postgresLoad) compare(t *testing.T) map[string]float64 {
	t.Helper()
	seen, truth := map[string]float64{}, map[string]float64{}
	for _, p := range r.profiles {
		for _, s := range p.Sample {
			if e := event(s); e != "" {
				seen[e] += float64(s.Value[1])
			}
		}
	}
	for e, n := range r.activity {
		switch kind, _, _ := strings.Cut(e, ":"); {
		case seen[e] > 0:
			truth[e] += float64(n)
		case kind == "LWLock":
			truth["LWLock, others"] += float64(n)
		}
	}
	const within, enough = 0.10, 3000
	got, want := shares(seen), shares(truth)
	samples := 0
	for _, n := range r.activity {
		samples += n
	}
	for e, s := range want {
		t.Logf("%-20s %4.1f %% of the waits, %4.1f %% by pg_stat_activity", e, 100*got[e], 100*s)
		if math.Abs(got[e]-s) > within {
			t.Errorf("%s: %.1f %% of the waits, %.1f %% by pg_stat_activity", e, 100*got[e], 100*s)
		}
		for other, o := range want {
			if s > o+2*within && got[e] <= got[other] {
				t.Errorf("%s comes after %s", e, other)
			}
		}
	}
	if samples < enough {
		t.Errorf("only %d samples by pg_stat_activity", samples)
	}
	return got
}

func shares(sums map[string]float64) map[string]float64 {
	var all float64
	for _, s := range sums {
		all += s
	}
	of := map[string]float64{}
	for k, s := range sums {
		of[k] = s / all
	}
	return of
}

// requireChain fails the test unless the longest chain begins at a lock and ends in a
// function, all of it among the database's processes as one.
func (r postgresLoad) requireChain(t *testing.T, lock string, processes int, end string) {
	t.Helper()
	d := r.document
	if len(d.Chains) == 0 || len(d.Locks) == 0 {
		t.Fatal("no chain, or no lock")
	}
	if name := d.Locks[0].Name; name == nil || *name != lock || *d.Locks[0].Implementation != "PostgreSQL" {
		t.Errorf("the first lock is %+v, want %s", d.Locks[0], lock)
	}
	first, last := d.Chains[0].Hops[0], d.Chains[0].End
	if first.Lock == nil || !strings.HasSuffix(*first.Lock, ":"+lock) || !first.Exact {
		t.Errorf("the longest chain begins with %+v, want %s", first, lock)
	}
	if first.Waiter.Process != "postgres" || first.Waiter.Processes != processes || first.Holder == nil || first.Holder.Process != "postgres" {
		t.Errorf("%+v waits for %+v, want %d processes of PostgreSQL", first.Waiter, first.Holder, processes)
	}
	if last.Caller == nil || *last.Caller != end || len(last.Did) == 0 {
		t.Errorf("the longest chain ends with %+v, want %s", last, end)
	}
}

// A database in which eight clients change the same row: they wait for the transaction that
// has the row, and that one writes its log to the disk.
func TestPostgresWithAHotRow(t *testing.T) {
	r := recordPostgres(t, "UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;\n", 8)
	if got := r.compare(t); got["Lock:transactionid"] < 0.4 {
		t.Errorf("only %.1f %% of the waits are for the row's transaction", 100*got["Lock:transactionid"])
	}
	r.requireChain(t, "XactLockTableWait", 8, "XLogFlush")
}

// A database in which 32 clients commit small transactions: they wait for the lock of the
// log's end, and whoever has it writes the log to the disk.
func TestPostgresWithAHotLWLock(t *testing.T) {
	r := recordPostgres(t, "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, 1, :client_id, CURRENT_TIMESTAMP);\n", 32)
	if got := r.compare(t); got["LWLock:WALWrite"] < 0.7 {
		t.Errorf("only %.1f %% of the waits are for the log's lock", 100*got["LWLock:WALWrite"])
	}
	r.requireChain(t, "LWLockAcquireOrWait in XLogFlush", 32, "XLogFlush")
}

// onStack tells whether a function is on a sample's stack.
func onStack(s *profile.Sample, function string) bool {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if strings.HasPrefix(line.Function.Name, function) {
				return true
			}
		}
	}
	return false
}
