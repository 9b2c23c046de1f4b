package waits

import (
	_ "embed"
	"strings"
	"testing"
)

//go:embed testdata/idle.txt
var idleStacks string

// TestIdleByStack marks each stack of the fixtures, which say what is known of it.
func TestIdleByStack(t *testing.T) {
	n := 0
	fixtures(t, idleStacks, func(heading, stack string) {
		n++
		state, want, ok := strings.Cut(strings.TrimPrefix(heading, "state "), ", ")
		if !ok {
			t.Fatalf("no state in %q", heading)
		}
		idle := strings.HasPrefix(want, "idle")
		b := offCPU().add(stack, "state="+state+" process=p pid#1 tid#2", 3, 1000)
		marked := MarkIdle(b.p)
		s := b.p.Sample[0]
		if got := label(s, "state") == IdleState; got != idle {
			t.Errorf("%s: it is marked %v", heading, label(s, "state"))
		}
		if !idle && label(s, "state") != state || s.Value[0] != 3 || s.Value[1] != 1000 {
			t.Errorf("%s: the sample is %v of %v", heading, s.Label, s.Value)
		}
		if got := marked.mostly(Thread{PID: 1, TID: 2}, state); got != idle {
			t.Errorf("%s: of the thread it is said %v", heading, got)
		}
	})
	if n < 30 {
		t.Errorf("only %d fixtures were read", n)
	}
}

// Every rule says why, and applies to something.
func TestEveryRuleHasAReasonAndAnExample(t *testing.T) {
	used := map[string]bool{}
	fixtures(t, idleStacks, func(heading, stack string) {
		state, _, _ := strings.Cut(strings.TrimPrefix(heading, "state "), ", ")
		b := offCPU().add(stack, "", 1, 1)
		if r := idleBy(state, lexicon{}.stack(b.p.Sample[0])); r != nil {
			used[r.name] = true
		}
	})
	for _, r := range idleRules {
		if r.why == "" || len(r.states) == 0 || len(r.any)+len(r.root) == 0 {
			t.Errorf("the rule %q is not whole", r.name)
		}
	}
	for _, name := range []string{"accept", "event loop", "main loop", "Go's parked threads", "worker's loop", "libuv's workers", "threads of the kernel", "terminal", "docked OpenMP and BLAS threads"} {
		if !used[name] {
			t.Errorf("no fixture is idle by the rule %q", name)
		}
	}
}

// What waits for a CPU, or runs, is never idle.
func TestWhatCouldRunIsNotIdle(t *testing.T) {
	b := offCPU().add("k:schedule k:ep_poll epoll_wait main _start", "state=runnable pid#1 tid#2", 1, 10)
	MarkIdle(b.p)
	if label(b.p.Sample[0], "state") != "runnable" {
		t.Error("a runnable thread was marked idle")
	}
}
