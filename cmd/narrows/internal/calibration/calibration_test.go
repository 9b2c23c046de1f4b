package calibration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// splitVariable makes this test binary the program of known truth.
const splitVariable = "NARROWS_TEST_SPLIT"

func TestMain(m *testing.M) {
	if text := os.Getenv(splitVariable); text != "" {
		cpu, err := time.ParseDuration(text)
		if err == nil {
			err = Split(cpu, os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func find(t *testing.T, checks []session.Check, name string) session.Check {
	t.Helper()
	for _, c := range checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no check %q among %+v", name, checks)
	return session.Check{}
}

// The whole way on this host: the program's own account is what it should be, and what
// was recorded of it agrees.
func TestCPUOnThisHost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("recording needs root")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Skip("recording needs a kernel with BTF: ", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	checks, err := CPU(t.Context(), []string{"env", splitVariable + "=2s", self})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		t.Logf("%s (%d samples): %s: %s", c.Name, c.Samples, c.Verdict, c.Reason)
		for _, v := range c.Values {
			t.Logf("  %s: seen %.2f %s", v.Name, v.Seen, c.Unit)
		}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
	split := find(t, checks, SplitCheck)
	var sum float64
	for i, want := range []float64{50, 30, 20} {
		v := split.Values[i]
		sum += v.Seen
		// Truth is counted, so only roughly what was intended. Six sigmas do not
		// happen by chance.
		if math.Abs(*v.Truth-want) > 5 || math.Abs(*v.Error) > 2**v.Bound {
			t.Errorf("%s: truth %.1f %%, seen %.1f %%", v.Name, *v.Truth, v.Seen)
		}
	}
	if math.Abs(sum-100) > 1e-6 || split.Samples < fewest {
		t.Errorf("the parts of %d samples add up to %v %%", split.Samples, sum)
	}
	find(t, checks, AmountCheck)
	find(t, checks, LeafCheck)
	find(t, checks, LostCheck)
	if tick := find(t, checks, TickCheck); !(tick.Values[0].Seen > 0) || tick.Verdict != session.JustMeasured {
		t.Errorf("a tick costs %+v", tick)
	}
}

// recorded is a profile of n samples, of 1 ms each, with the given shares of the
// three functions; of the leaf's samples, called show who called it.
func recorded(n int64, half, third, fifth, called float64) (s seen) {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	add := func(share float64, stack ...string) {
		s := &profile.Sample{Value: []int64{int64(math.Round(share * float64(n))), int64(math.Round(share*float64(n))) * 1e6}}
		for _, name := range stack {
			f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: "example.org/internal/calibration." + name}
			p.Function = append(p.Function, f)
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: f}}})
		}
		p.Sample = append(p.Sample, s)
	}
	add(half, "half", "Split")
	add(third*called, "leaf", "third", "Split")
	add(third*(1-called), "leaf", "Split")
	add(fifth, "deeper", "deeper", "fifth", "Split")
	add(0.05, "main")
	s.add(p)
	return s
}

func TestErrorsAreToldFromChance(t *testing.T) {
	truth := Truth{Half: 1500e6, Third: 900e6, Fifth: 600e6}
	account := session.Summary{
		Accounting: &session.Accounting{Total: session.Time{ExpectedNS: 4e9, SeenNS: 3.9e9, LostNS: 1e8, Samples: 4000}},
		OwnCost:    &session.OwnCost{EBPFRuns: 4000, EBPFRunSeconds: 0.012, InterruptSeconds: 0.1},
	}
	for name, test := range map[string]struct {
		seen                seen
		split, amount, leaf session.CheckVerdict
	}{
		"the truth":           {recorded(3000, 0.5, 0.3, 0.2, 1), session.WithinChance, session.WithinChance, session.WithinChance},
		"two points off":      {recorded(3000, 0.52, 0.28, 0.2, 1), session.WithinChance, session.WithinChance, session.WithinChance},
		"four points off":     {recorded(3000, 0.54, 0.26, 0.2, 1), session.BeyondChance, session.WithinChance, session.WithinChance},
		"a tenth lost":        {recorded(2700, 0.5, 0.3, 0.2, 1), session.WithinChance, session.BeyondChance, session.WithinChance},
		"no caller of leaves": {recorded(3000, 0.5, 0.3, 0.2, 0), session.WithinChance, session.WithinChance, session.BeyondChance},
	} {
		checks, err := judge(truth, test.seen, account)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for check, want := range map[string]session.CheckVerdict{SplitCheck: test.split, AmountCheck: test.amount, LeafCheck: test.leaf, LostCheck: session.JustMeasured, TickCheck: session.JustMeasured} {
			if got := find(t, checks, check); got.Verdict != want {
				t.Errorf("%s: %s is %s (%s), want %s", name, check, got.Verdict, got.Reason, want)
			}
		}
		if lost := find(t, checks, LostCheck).Values[0].Seen; math.Abs(lost-2.5) > 1e-9 {
			t.Errorf("lost %v %%, want 2.5", lost)
		}
		if tick := find(t, checks, TickCheck); math.Abs(tick.Values[0].Seen-3) > 1e-9 || math.Abs(tick.Values[1].Seen-25) > 1e-9 {
			t.Errorf("a tick costs %+v, want 3 and 25 us", tick.Values)
		}
	}
	// Shares of 3,000 samples: three sigmas of 0.5 are 2.74 points.
	checks, err := judge(truth, recorded(3000, 0.5, 0.3, 0.2, 1), account)
	if err != nil {
		t.Fatal(err)
	}
	if bound := *find(t, checks, SplitCheck).Values[0].Bound; math.Abs(bound-(2.7386+resolution)) > 1e-3 {
		t.Errorf("chance explains %v points", bound)
	}
}

func TestTooLittleIsNotJudged(t *testing.T) {
	truth := Truth{Half: 1500e6, Third: 900e6, Fifth: 600e6}
	for name, test := range map[string]struct {
		truth Truth
		seen  seen
	}{
		"no samples":  {truth, seen{}},
		"no truth":    {Truth{}, recorded(3000, 0.5, 0.3, 0.2, 1)},
		"few samples": {truth, recorded(50, 0.5, 0.3, 0.2, 1)},
	} {
		if checks, err := judge(test.truth, test.seen, session.Summary{}); err == nil {
			t.Errorf("%s: %+v", name, checks)
		}
	}
}

// The split is as intended, and the clock's: what is counted is no more than what the
// process used.
func TestSplitCountsItself(t *testing.T) {
	runtime.LockOSThread() // whose clock it is
	defer runtime.UnlockOSThread()
	before := threadTime()
	var out bytes.Buffer
	if err := Split(200*time.Millisecond, &out); err != nil {
		t.Fatal(err)
	}
	used := threadTime() - before
	var truth Truth
	if err := json.Unmarshal(out.Bytes(), &truth); err != nil {
		t.Fatal(err)
	}
	if truth.total() <= 0 || truth.total() > int64(used) {
		t.Errorf("%+v adds up to %v of %v used", truth, time.Duration(truth.total()), used)
	}
	if !(truth.Half > truth.Third && truth.Third > truth.Fifth && truth.Fifth > 0) {
		t.Errorf("%+v", truth)
	}
}
