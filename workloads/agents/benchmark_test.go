package agents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// Against a service that takes the same time for each task, every metric is the
// stand-in's number exactly.
func TestMetricsAreTheStandIns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &standIn{takes: 8 * time.Millisecond, list: twoAgents}
		got := drive(t.Context(), t, s, load.Options{Iterations: 400, Seed: 5})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		for _, name := range []string{"task_mean_ms", "task_p50_ms", "task_p95_ms", "task_p99_ms", "invoke_p50_ms", "copilot_p50_ms", "stream_p50_ms"} {
			if v := value(t, d, name); !near(v, 8) {
				t.Errorf("%s is %v, want 8", name, v)
			}
		}
		if d.N != 400 || d.Status != metrics.Complete || d.Targets[0].Verdict != metrics.Met || len(got.requests) != 400 || len(d.Errors) != 0 {
			t.Errorf("n %d, status %s, target %+v, errors %v, %d records", d.N, d.Status, d.Targets[0], d.Errors, len(got.requests))
		}
		if rate, want := d.Load.RatePerSecond, utilization/0.008; !near(rate, want) {
			t.Errorf("rate %v, want %v", rate, want)
		}
		if got, want := value(t, d, "tasks_per_second"), 400/d.Load.DurationSeconds; !near(got, want) {
			t.Errorf("%v tasks a second, want %v", got, want)
		}
		for _, name := range []string{"queue_depth_mean", "queue_depth_max"} {
			if d.Metrics[name] != nil || !strings.Contains(d.Unavailable[name], "does not tell") {
				t.Errorf("%s of a service that tells none: %v", name, d.Unavailable[name])
			}
		}
		if len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "does not say which task") {
			t.Errorf("notes %q", d.Notes)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
		s.check(t, 400)
		for _, phase := range []string{load.Warmup, load.Mixed, "invoke", "copilot", "stream"} {
			if !slices.Contains(got.marks, phase) {
				t.Errorf("no phase %s", phase)
			}
		}
	})
}

// check judges what arrived at the stand-in: the share of each way, and that no two
// measured tasks are the same.
func (s *standIn) check(t *testing.T, n int) {
	t.Helper()
	ways := make(map[string]int)
	texts := make(map[string]bool)
	for i, asked := range s.asked[warmup:] {
		path, text, _ := strings.Cut(asked, " ")
		texts[text] = true
		if s.bodies[warmup+i].Stream {
			path = "stream"
		}
		ways[path]++
		if path == "/copilot" && !strings.HasPrefix(text, "@APEX ") && !strings.HasPrefix(text, "@CIPHER_2 ") {
			t.Errorf("%q mentions nobody", text)
		}
	}
	// A tenth of 400 are 40; five deviations to each side.
	for _, few := range []string{"stream", "/copilot"} {
		if ways[few] < 10 || ways[few] > 70 {
			t.Errorf("%d of %d tasks went to %s", ways[few], n, few)
		}
	}
	if len(texts) != n || ways["/agents/APEX/invoke"] < 100 || ways["/agents/CIPHER_2/invoke"] < 100 {
		t.Errorf("%d different texts, %v", len(texts), ways)
	}
}

// A service with one worker makes the others wait. Lindley's recursion gives each wait
// from the schedule: W' = max(0, W + S - gap).
func TestQueueingIsInTheLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 8 * time.Millisecond
		got := drive(t.Context(), t, &standIn{takes: takes, slots: 1, list: twoAgents, depth: "3"}, load.Options{Iterations: 300, Seed: 5})
		if got.err != nil {
			t.Fatal(got.err)
		}
		schedule, err := load.Schedule(load.Poisson, utilization/takes.Seconds(), 5)
		if err != nil {
			t.Fatal(err)
		}
		var wait, last time.Duration
		index, waited := 0, 0
		for at := range schedule {
			if index == 300 {
				break
			}
			if index > 0 {
				wait = max(0, wait+takes-(at-last))
			}
			record := got.requests[index]
			if took := record.End.Sub(record.IntendedStart); (took - wait - takes).Abs() > time.Microsecond {
				t.Fatalf("task %d took %v, want %v", index, took, wait+takes)
			}
			if wait > 0 {
				waited++
			}
			last = at
			index++
		}
		if waited < 60 {
			t.Errorf("only %d tasks waited: the test shows little", waited)
		}
		if mean, most := value(t, got.document, "queue_depth_mean"), value(t, got.document, "queue_depth_max"); mean != 3 || most != 3 {
			t.Errorf("queue depth %v, at most %v, told was 3", mean, most)
		}
	})
}

func TestVerdictsFollowTheTruth(t *testing.T) {
	for takes, want := range map[time.Duration]metrics.Verdict{49 * time.Millisecond: metrics.Met, 51 * time.Millisecond: metrics.Missed} {
		synctest.Test(t, func(t *testing.T) {
			got := drive(t.Context(), t, &standIn{takes: takes, list: twoAgents}, load.Options{Iterations: 400, Seed: 2})
			if got.err != nil {
				t.Fatal(got.err)
			}
			if target := got.document.Targets[0]; target.Verdict != want {
				t.Errorf("%v: %s: %s", takes, target.Verdict, target.Reason)
			}
		})
	}
}

// The same seed gives the same tasks in the same order, another seed others.
func TestTasksAreSeededAndVaried(t *testing.T) {
	one, same, other := tasks{1, []string{"A", "B", "C"}}, tasks{1, []string{"A", "B", "C"}}, tasks{2, []string{"A", "B", "C"}}
	agents := make(map[string]int)
	texts := make(map[string]bool)
	var words int
	const n = 1000
	for i := range n {
		a := one.task(i)
		if b := same.task(i); a != b {
			t.Fatalf("task %d differs between two runs of one seed: %v, %v", i, a, b)
		}
		if b := other.task(i); a.text == b.text {
			t.Fatalf("task %d is the same for two seeds", i)
		}
		agents[a.agent]++
		texts[a.text] = true
		words += len(strings.Fields(a.text))
		if strings.ContainsAny(a.text, "{}") || a.way == copilot != strings.HasPrefix(a.text, "@"+a.agent+" ") {
			t.Errorf("%+v", a)
		}
	}
	if len(texts) != n || len(agents) != 3 || agents["A"] < n/5 || words/n < 40 || words/n > 80 {
		t.Errorf("%d texts of %d words, agents %v", len(texts), words/n, agents)
	}
}

func TestServicesWithoutAListAreAskedAPEX(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &standIn{takes: time.Millisecond}
		got := drive(t.Context(), t, s, load.Options{Iterations: 60, Seed: 2})
		if got.err != nil {
			t.Fatal(got.err)
		}
		if d := got.document; d.N != 60 || !strings.Contains(fmt.Sprint(d.Notes), "all tasks went to APEX: listing the agents: the service answered HTTP 404") {
			t.Errorf("n %d, notes %q, errors %v", d.N, d.Notes, d.Errors)
		}
		if d := got.document; d.Metrics["task_p99_ms"] != nil || !strings.Contains(d.Unavailable["task_p99_ms"], "299") || d.Targets[0].Verdict != metrics.Undecided {
			t.Errorf("a p99 from 60 answers: %q, %+v", d.Unavailable["task_p99_ms"], d.Targets)
		}
	})
}

func TestUnansweredWarmupFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := drive(t.Context(), t, &standIn{takes: time.Hour, list: twoAgents}, load.Options{Iterations: 100, Timeout: time.Second})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		if d.Status != metrics.Failed || !strings.Contains(d.StatusReason, "timeout") || d.N != 0 || d.Targets[0].Verdict != metrics.Undecided {
			t.Errorf("status %s (%s), targets %+v", d.Status, d.StatusReason, d.Targets)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}

func TestStoppedRunIsInvalidAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer time.AfterFunc(3*time.Second, func() { cancel(errors.New("interrupted")) }).Stop()
		got := drive(ctx, t, &standIn{takes: 20 * time.Millisecond, list: twoAgents}, load.Options{Iterations: 1000, Seed: 5})
		d := got.document
		if got.err != nil || d.Status != metrics.Invalid || !strings.Contains(d.StatusReason, "interrupted") || d.N == 0 || d.N > 200 {
			t.Errorf("status %s (%s), n %d of %d, %v", d.Status, d.StatusReason, d.N, d.Iterations, got.err)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}
