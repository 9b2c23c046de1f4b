package flamegraph

import (
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"pgregory.net/rapid"
)

// each yields profiles, as often as it is asked to.
func each(profiles ...*profile.Profile) iter.Seq2[*profile.Profile, error] {
	return func(yield func(*profile.Profile, error) bool) {
		for _, p := range profiles {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// TestPartsMakeTheSameTree merges the same stacks at once, and as several profiles in
// parts of few calls: every sum, every node and every count must be the same.
func TestPartsMakeTheSameTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := drawStacks(t)
		width := rapid.Float64Range(1e-6, 0.5).Draw(t, "width")
		m := measure{index: 0, name: "samples", unit: "count", count: 0, countName: "samples"}
		whole, err := mergeAll(each(folded(lines...)), &gatherer{measure: m, in: newInterner()}, width, 1<<30)
		if errors.Is(err, ErrEmpty) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var windows []*profile.Profile
		for part := range slices.Chunk(lines, rapid.IntRange(1, 10).Draw(t, "stacks a window")) {
			windows = append(windows, folded(part...))
		}
		parts, err := mergeAll(each(windows...), &gatherer{measure: m, in: newInterner()}, width, rapid.IntRange(1, 40).Draw(t, "calls at a time"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, parts, cmp.AllowUnexported(tree{}, node{}, frame{}, frameKey{})); diff != "" {
			t.Fatalf("(-at once +in parts):\n%s", diff)
		}
	})
}

// TestDeepStacksAreCutInPartsToo checks stacks beyond the greatest depth.
func TestDeepStacksAreCutInPartsToo(t *testing.T) {
	deep := ""
	for range maxDepth + 10 {
		deep += "recurse;"
	}
	p := folded(deep+"leaf 3", deep+"other 2", "main 1")
	m := measure{index: 0, name: "samples", unit: "count", count: 0, countName: "samples"}
	var trees []tree
	for _, limit := range []int{1 << 30, 10} {
		got, err := mergeAll(each(p, p), &gatherer{measure: m, in: newInterner()}, 0.01, limit)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, got)
	}
	if trees[0].cut != 4 || trees[0].beyond != 10 {
		t.Errorf("%d stacks of value %d are cut, want 4 of 10", trees[0].cut, trees[0].beyond)
	}
	if diff := cmp.Diff(trees[0], trees[1], cmp.AllowUnexported(tree{}, node{}, frame{}, frameKey{})); diff != "" {
		t.Errorf("(-at once +in parts):\n%s", diff)
	}
}

// TestNarrowFramesAreCountedUpToALimit makes more of them than are told apart.
func TestNarrowFramesAreCountedUpToALimit(t *testing.T) {
	b := newBuilder(&profile.ValueType{Type: "samples", Unit: "count"})
	for i := range maxNarrow / 50 {
		stack := make([]string, 60)
		for depth := range stack {
			stack[depth] = string(rune('a'+depth%7)) + string(rune('a'+(i>>(depth%11))%26)) + string(rune('0'+i%10))
		}
		b.sample([]int64{1}, slices.Concat([]string{"main"}, stack)...)
	}
	m := measure{index: 0, name: "samples", unit: "count", count: 0, countName: "samples"}
	got, err := mergeAll(each(b.p), &gatherer{measure: m, in: newInterner()}, 0.5, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	if got.narrow < maxNarrow || !got.narrowMore {
		t.Errorf("%d narrow frames, more: %t; want at least %d, and more", got.narrow, got.narrowMore, maxNarrow)
	}
	if len(got.nodes) != 2 || got.nodes[1].total != maxNarrow/50 {
		t.Errorf("nodes %+v, want the root and main", got.nodes)
	}
}

func TestProfilesThatDoNotFit(t *testing.T) {
	failure := errors.New("unreadable")
	failing := func(yield func(*profile.Profile, error) bool) {
		_ = yield(folded("main 1"), nil) && yield(nil, failure)
	}
	if _, err := OfAll(failing, Options{}); !errors.Is(err, failure) {
		t.Errorf("an unreadable profile: %v", err)
	}
	if _, err := OfAll(each(), Options{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("no profile: %v", err)
	}
	other := newBuilder(&profile.ValueType{Type: "space", Unit: "bytes"})
	other.sample([]int64{1}, "main")
	if _, err := OfAll(each(folded("main 1"), other.p), Options{SampleType: "samples"}); err == nil {
		t.Error("profiles of different types were merged")
	}
	times := 0
	m := measure{index: 0, name: "samples", unit: "count", count: 0, countName: "samples"}
	if _, err := mergeAll(func(yield func(*profile.Profile, error) bool) {
		times++
		yield(folded("main;a;b;c 1", "main;x 1", []string{"main 1", "main 2"}[times%2]), nil)
	}, &gatherer{measure: m, in: newInterner()}, 0.1, 2); err == nil {
		t.Error("a profile that changed meanwhile was merged")
	}
}
