package rank

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

func validate(t *testing.T, name string, document any) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "schema", name))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(instance); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func TestReportMatchesItsSchema(t *testing.T) {
	full := newBuilder().
		add("dot|matmul;forward;main", 500, first, ryot, "phase=prefill").
		add("softmax;forward;main", 300, first, ryot, "unwind=no rule").
		add("dot;main", 50, "benchmark=Other", ryot).
		add("[lost: missed ticks]", 5)
	for _, r := range []*Report{
		rankAll(t, outcome(metrics.Missed, "ms"), full, full, full),
		rankAll(t, nil, newBuilder().add("f", 100)),
		rankAll(t, nil),
	} {
		validate(t, "bottleneck_report.schema.json", r)
	}
}

func TestServiceProfile(t *testing.T) {
	b := newBuilder().
		add("walk;walk;main", 300, ryot).
		add("dot|matmul;walk;main", 100, ryot).
		add("other", 1000, "service=agents").
		add("[lost: missed ticks]", 7, ryot)
	d, err := serviceProfile(b.p, Subject{Service: "ryot", Component: "inference", Profiler: "cpu-clock, 99 Hz"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	validate(t, "profile.schema.json", d)
	want := []Hotspot{
		{Function: "walk", Binary: "/usr/bin/service", SelfTimeMS: 3000, TotalTimeMS: 4000, PercentageOfTotal: 75, Samples: 300},
		{Function: "dot", Binary: "/usr/bin/service", SelfTimeMS: 1000, TotalTimeMS: 1000, PercentageOfTotal: 25, Samples: 100},
	}
	if diff := cmp.Diff(want, d.TopHotspots); diff != "" {
		t.Errorf("hotspots (-want +got):\n%s", diff)
	}
	if d.TotalMS != 4000 || d.LostMS != 70 || d.Samples != 400 || d.DurationSeconds != 10 || d.Functions != 2 || !strings.Contains(d.Denominator, "CPU time of ryot") {
		t.Errorf("profile %+v", d)
	}
	if one, _ := serviceProfile(b.p, Subject{}, 1); len(one.TopHotspots) != 1 || one.TopHotspots[0].Function != "other" || one.Functions != 3 {
		t.Errorf("the first of all processes is %+v", one.TopHotspots)
	}
	empty, err := serviceProfile(newBuilder().p, Subject{Service: "ryot"}, 10)
	if err != nil || len(empty.TopHotspots) != 0 {
		t.Errorf("no samples: %+v, %v", empty, err)
	}
	validate(t, "profile.schema.json", empty)
}

// TestEvidenceShowsThePlace runs the printed command in a shell and compares
// what pprof says with the report.
func TestEvidenceShowsThePlace(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not installed")
	}
	if out, err := exec.Command("go", "tool", "-n", "pprof").CombinedOutput(); err != nil {
		t.Skipf("go tool pprof does not work here: %v: %s", err, out)
	}
	const name = `main.(*Model).mat'mul[go.shape.[]float32], a=b $x`
	b := newBuilder().
		add(name+";forward;main", 600, first, ryot).
		add("softmax;forward;main", 400, first, ryot).
		add(name+";main", 5000, "benchmark=Other", ryot).
		add(name+";main", 7000, first, "service=agents")
	dir := t.TempDir()
	var data bytes.Buffer
	if err := b.p.Write(&data); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cpu.pb.gz"), data.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", command("cpu.pb.gz", groupKey{"FirstTokenLatencyBenchmark", "ryot"}, frame{name, "/usr/bin/service"}))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running pprof: %v", err)
	}
	// The place's own line begins with its flat time and its share.
	if !regexp.MustCompile(`(?m)^\s+6s\s+60\.00%.*mat'mul`).Match(out) {
		t.Errorf("pprof does not show 6 s and 60 %%:\n%s", out)
	}
}

// serviceProfile lists the functions of one profile.
func serviceProfile(p *profile.Profile, subject Subject, limit int) (*ServiceProfile, error) {
	f := NewFunctions(subject)
	if err := f.Add(p); err != nil {
		return nil, err
	}
	return f.Profile(limit), nil
}

// TestFunctionsOfWindowsAddUp compares two windows with one profile of both.
func TestFunctionsOfWindowsAddUp(t *testing.T) {
	first := newBuilder().add("walk;main", 100, ryot).add("dot;walk;main", 50, ryot)
	second := newBuilder().add("walk;main", 30, ryot).add("other;main", 20, ryot)
	second.p.TimeNanos = first.p.TimeNanos + first.p.DurationNanos
	both, err := profile.Merge([]*profile.Profile{first.p, second.p})
	if err != nil {
		t.Fatal(err)
	}
	want, err := serviceProfile(both, Subject{Service: "ryot"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	f := NewFunctions(Subject{Service: "ryot"})
	for _, p := range []*profile.Profile{first.p, second.p} {
		if err := f.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, f.Profile(10)); diff != "" {
		t.Errorf("(-merged +windows):\n%s", diff)
	}
}
