package flamegraph

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"pgregory.net/rapid"
)

// everything is a width below which no frame of a test is.
const everything = 1e-18

func mustNew(t testing.TB, p *profile.Profile, o Options) *Graph {
	t.Helper()
	g, err := New(p, o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return g
}

// paths returns total and self of each node under its path of names, an inlined
// frame marked by "*".
func paths(t *tree) map[string][2]int64 {
	out := map[string][2]int64{}
	var path []string
	for _, n := range t.nodes {
		if n.frame >= 0 {
			name := t.frames[n.frame].name
			if t.frames[n.frame].inlined {
				name += "*"
			}
			path = append(path[:n.depth-1], name)
		}
		out[strings.Join(path, ";")] = [2]int64{n.total, n.self}
	}
	return out
}

func TestTreeByHand(t *testing.T) {
	p := folded("main;work;read 3", "main;work 2", "main;idle 5", "main;work;read 4", "main;work+copy 1", "gc 6", " 2")
	g := mustNew(t, p, Options{SampleType: "samples", MinWidth: everything})
	want := map[string][2]int64{
		"":                {23, 2},
		"gc":              {6, 6},
		"main":            {15, 0},
		"main;idle":       {5, 5},
		"main;work":       {10, 2},
		"main;work;read":  {7, 7},
		"main;work;copy*": {1, 1},
	}
	if d := cmp.Diff(want, paths(&g.tree)); d != "" {
		t.Errorf("tree (-want +got):\n%s", d)
	}
}

func TestDefaultSampleTypeIsThatOfPprof(t *testing.T) {
	p := folded("main 3", "gc 1")
	for choice, want := range map[string]int64{"": 40_000_000, "cpu": 40_000_000, "samples": 4, "0": 4, "1": 40_000_000} {
		if got := mustNew(t, p, Options{SampleType: choice}).tree.nodes[0]; got.total != want || got.count != 4 {
			t.Errorf("sample type %q: total %d, count %d, want %d and 4", choice, got.total, got.count, want)
		}
	}
	p.DefaultSampleType = "samples"
	if got := mustNew(t, p, Options{}).tree.nodes[0].total; got != 4 {
		t.Errorf("with default_sample_type samples: total %d, want 4", got)
	}
}

func TestCountComesFromTheTypeBeforeTheMeasure(t *testing.T) {
	b := newBuilder(
		&profile.ValueType{Type: "alloc_objects", Unit: "count"}, &profile.ValueType{Type: "alloc_space", Unit: "bytes"},
		&profile.ValueType{Type: "inuse_objects", Unit: "count"}, &profile.ValueType{Type: "inuse_space", Unit: "bytes"})
	b.sample([]int64{7, 700, 2, 200}, "main", "make")
	for choice, want := range map[string][2]int64{"alloc_space": {700, 7}, "inuse_space": {200, 2}, "alloc_objects": {7, 7}} {
		root := mustNew(t, b.p, Options{SampleType: choice}).tree.nodes[0]
		if root.total != want[0] || root.count != want[1] {
			t.Errorf("%s: total %d of count %d, want %v", choice, root.total, root.count, want)
		}
	}
}

func TestFocusSelectsSamples(t *testing.T) {
	b := newBuilder(&profile.ValueType{Type: "cpu", Unit: "nanoseconds"})
	b.sample([]int64{5}, "main", "a").Label = map[string][]string{"service": {"ryot"}}
	b.sample([]int64{9}, "main", "b").Label = map[string][]string{"service": {"agents"}}
	b.sample([]int64{-3}, "main", "c")
	service := func(name string) func(*profile.Sample) bool {
		return func(s *profile.Sample) bool { return s.HasLabel("service", name) }
	}
	g := mustNew(t, b.p, Options{Focus: service("ryot")})
	want := map[string][2]int64{"": {5, 0}, "main": {5, 0}, "main;a": {5, 5}}
	if d := cmp.Diff(want, paths(&g.tree)); d != "" {
		t.Errorf("tree of one service (-want +got):\n%s", d)
	}
	if _, err := New(b.p, Options{Focus: service("none")}); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing selected: error %v, want ErrEmpty", err)
	}
	if _, err := New(b.p, Options{}); !errors.Is(err, ErrNegative) {
		t.Errorf("a negative sample selected: error %v, want ErrNegative", err)
	}
}

func TestNarrowFramesStayInTheirParent(t *testing.T) {
	p := folded("main;a 900", "main;b;c 60", "main;d 9", "main;e 31")
	g := mustNew(t, p, Options{SampleType: "samples", MinWidth: 0.05})
	want := map[string][2]int64{"": {1000, 0}, "main": {1000, 0}, "main;a": {900, 900}, "main;b": {60, 0}, "main;b;c": {60, 60}}
	if d := cmp.Diff(want, paths(&g.tree)); d != "" {
		t.Errorf("tree (-want +got):\n%s", d)
	}
	if g.tree.narrow != 2 {
		t.Errorf("%d narrow frames, want 2", g.tree.narrow)
	}
}

func TestErrors(t *testing.T) {
	wrong := folded("main 1")
	wrong.Sample[0].Value = nil
	for name, c := range map[string]struct {
		p    *profile.Profile
		o    Options
		want error
		text string
	}{
		"nil":            {p: nil, text: "no profile"},
		"no types":       {p: &profile.Profile{}, want: ErrEmpty},
		"no samples":     {p: folded(), want: ErrEmpty},
		"all zero":       {p: folded("main 0"), want: ErrEmpty},
		"difference":     {p: folded("main 4", "gc -1"), want: ErrNegative},
		"overflow":       {p: folded("a 9223372036854775807", "b 1"), o: Options{SampleType: "samples"}, want: ErrOverflow},
		"invalid":        {p: wrong, text: "checking the profile"},
		"no such type":   {p: folded("main 1"), o: Options{SampleType: "wall"}, text: "wall"},
		"width too wide": {p: folded("main 1"), o: Options{MinWidth: 1}, text: "minimum width"},
		"width NaN":      {p: folded("main 1"), o: Options{MinWidth: math.NaN()}, text: "minimum width"},
		"limit":          {p: folded("main 1"), o: Options{MaxFrames: -1}, text: "negative"},
	} {
		_, err := New(c.p, c.o)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: error %v, want %v %q", name, err, c.want, c.text)
		}
	}
}

func TestStacksDeeperThanTheLimit(t *testing.T) {
	deep := strings.Repeat("f;", maxDepth+500)
	g := mustNew(t, folded(deep+"leaf 5", "main 5"), Options{SampleType: "samples", MinWidth: everything})
	if got := len(g.tree.nodes); got != maxDepth+2 {
		t.Errorf("%d nodes, want the root, main and %d", got, maxDepth)
	}
	if g.tree.cut != 1 {
		t.Errorf("%d stacks cut, want 1", g.tree.cut)
	}
	if n := g.tree.nodes[maxDepth]; n.total != 5 || n.self != 0 {
		t.Errorf("the frame at the cut has total %d, self %d, want 5 and 0: what it called is not its own", n.total, n.self)
	}
}

func TestOneFunctionFromSeveralFiles(t *testing.T) {
	b := newBuilder(&profile.ValueType{Type: "cpu", Unit: "nanoseconds"})
	b.sample([]int64{5}, "init")
	other := &profile.Function{ID: 2, Name: "init", Filename: "b.c"}
	b.p.Function[0].Filename = "a.c"
	b.p.Function = append(b.p.Function, other)
	b.p.Location = append(b.p.Location, &profile.Location{ID: 2, Mapping: b.p.Mapping[0], Line: []profile.Line{{Function: other, Line: 77}}})
	b.p.Sample = append(b.p.Sample, &profile.Sample{Value: []int64{4}, Location: b.p.Location[1:]})
	g := mustNew(t, b.p, Options{})
	if d := cmp.Diff(map[string][2]int64{"": {9, 0}, "init": {9, 9}}, paths(&g.tree)); d != "" {
		t.Errorf("tree (-want +got):\n%s", d)
	}
	if !g.tree.frames[0].severalFiles {
		t.Error("the frame claims one file")
	}
}

func TestLimitKeepsWhatIsNearTheRoot(t *testing.T) {
	g := mustNew(t, folded("a;b 5", "c;d 5"), Options{})
	var got []string
	for _, b := range place(&g.tree, 3).boxes[1:] {
		got = append(got, g.tree.frames[b.frame].name)
	}
	if d := cmp.Diff([]string{"a", "c"}, got); d != "" {
		t.Errorf("of four frames of one width (-want +got):\n%s", d)
	}
}

// TestTreeOfAnyProfile compares the tree with one built in the most naive way:
// a map from each prefix of each stack to its sum.
func TestTreeOfAnyProfile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := drawStacks(t)
		want, sum := map[string][2]int64{}, int64(0)
		for _, line := range lines {
			stack, number, _ := cutLast(line, " ")
			v, _ := strconv.ParseInt(number, 10, 64)
			if v == 0 {
				continue
			}
			sum += v
			var names []string
			for _, location := range strings.Split(stack, ";") {
				for i, name := range strings.Split(location, "+") {
					if i > 0 {
						name += "*"
					}
					names = append(names, name)
				}
			}
			if stack == "" {
				names = nil
			}
			for i := range len(names) + 1 {
				sums := want[strings.Join(names[:i], ";")]
				sums[0] += v
				if i == len(names) {
					sums[1] += v
				}
				want[strings.Join(names[:i], ";")] = sums
			}
		}
		g, err := New(folded(lines...), Options{SampleType: "samples", MinWidth: everything})
		if sum == 0 {
			if !errors.Is(err, ErrEmpty) {
				t.Fatalf("error %v, want ErrEmpty", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, paths(&g.tree)); d != "" {
			t.Fatalf("tree (-want +got):\n%s", d)
		}
		checkSums(t, &g.tree, true)
	})
}

// TestSumsUnderAnyLimit checks what must hold of a tree that left frames out.
func TestSumsUnderAnyLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := append(drawStacks(t), "main 1")
		o := Options{SampleType: "samples", MinWidth: rapid.Float64Range(1e-6, 0.5).Draw(t, "width"), MaxFrames: rapid.IntRange(1, 30).Draw(t, "limit")}
		g, err := New(folded(lines...), o)
		if err != nil {
			t.Fatal(err)
		}
		checkSums(t, &g.tree, false)
		whole, err := New(folded(lines...), Options{SampleType: "samples", MinWidth: everything})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(g.tree.nodes) + g.tree.narrow; got != len(whole.tree.nodes) {
			t.Fatalf("%d drawn and %d left out, of %d", len(g.tree.nodes), g.tree.narrow, len(whole.tree.nodes))
		}
		l := place(&g.tree, o.MaxFrames)
		if len(l.boxes) > o.MaxFrames || len(l.boxes)+l.over != len(g.tree.nodes) {
			t.Fatalf("%d boxes and %d beyond the limit of %d, of %d", len(l.boxes), l.over, o.MaxFrames, len(g.tree.nodes))
		}
		checkBoxes(t, l)
	})
}

// checkSums checks totals against the sums of the children that are there.
func checkSums(t *rapid.T, tree *tree, exact bool) {
	children := make([]int64, len(tree.nodes))
	parents := map[int32]int{}
	for i, n := range tree.nodes {
		if i > 0 {
			children[parents[n.depth-1]] += n.total
		}
		parents[n.depth] = i
	}
	for i, n := range tree.nodes {
		if sum := children[i] + n.self; sum > n.total || exact && sum != n.total {
			t.Fatalf("node %d: children %d and self %d of total %d", i, children[i], n.self, n.total)
		}
	}
}

// checkBoxes checks that each box lies within its parent's and right of its
// siblings'.
func checkBoxes(t *rapid.T, l layout) {
	right := map[int32]int64{} // by depth: the end of the last box
	at := map[int32]box{}
	for i, b := range l.boxes {
		if i > 0 {
			p, ok := at[b.depth-1]
			if !ok || b.x < p.x || b.x+b.total > p.x+p.total {
				t.Fatalf("box %d [%d,%d) leaves its parent [%d,%d)", i, b.x, b.x+b.total, p.x, p.x+p.total)
			}
			if b.x < right[b.depth] {
				t.Fatalf("box %d at %d overlaps its sibling, which ends at %d", i, b.x, right[b.depth])
			}
		}
		at[b.depth], right[b.depth] = b, b.x+b.total
		delete(at, b.depth+1)
	}
}

func drawStacks(t *rapid.T) []string {
	location := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "main"}), 1, 3), func(names []string) string { return strings.Join(names, "+") })
	stack := rapid.Map(rapid.SliceOfN(location, 0, 7), func(l []string) string { return strings.Join(l, ";") })
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%s %d", stack.Draw(t, "stack"), rapid.Int64Range(0, 1000).Draw(t, "value"))
	}), 0, 40).Draw(t, "lines")
}

// TestSumsAreThoseOfPprof compares self and cumulative sums by function, nested
// calls of one function counted once, with what go tool pprof prints.
func TestSumsAreThoseOfPprof(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not installed: nothing to compare with")
	}
	p := folded("main;fib;fib;fib;add 7", "main;fib;add 3", "main;fib+add 11", "main;print;write 20", "main 2", "gc;mark;mark 13", "main;print;fib 5")
	file := filepath.Join(t.TempDir(), "p.pb.gz")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Write(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool, "tool", "pprof", "-top", "-symbolize=none", "-nodefraction=0", "-nodecount=1000", "-sample_index=samples", file)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("go tool pprof does not run here: %v\n%s", err, out)
	}
	want := map[string][2]int64{} // cumulative, self
	for _, line := range strings.Split(string(out), "\n") {
		cells := strings.Fields(strings.Replace(line, "(inline)", "", 1))
		if len(cells) != 6 {
			continue
		}
		self, err1 := strconv.ParseInt(cells[0], 10, 64)
		cum, err2 := strconv.ParseInt(cells[3], 10, 64)
		if err1 == nil && err2 == nil {
			want[cells[5]] = [2]int64{cum, self}
		}
	}
	if len(want) != 7 {
		t.Fatalf("read %d functions from go tool pprof, want 7:\n%s", len(want), out)
	}
	g := mustNew(t, p, Options{SampleType: "samples", MinWidth: everything})
	got := map[string][2]int64{}
	var path []string
	for _, n := range g.tree.nodes[1:] {
		name := g.tree.frames[n.frame].name
		path = append(path[:n.depth-1], name)
		sums := got[name]
		sums[1] += n.self
		if !strings.Contains(";"+strings.Join(path[:n.depth-1], ";")+";", ";"+name+";") {
			sums[0] += n.total
		}
		got[name] = sums
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("cumulative and self by function (-pprof +tree):\n%s", d)
	}
}
