package unwind

import (
	"testing"

	"pgregory.net/rapid"
)

// rowsOf makes rows of what each address says, and saidBy the reverse.
func rowsOf(said []content) []Row {
	b := builder{limit: 1 << 20}
	for pc, c := range said {
		b.add(uint64(pc), c)
	}
	b.add(uint64(len(said)), none)
	return b.rows
}

func saidBy(rows []Row, n int) []content {
	said := make([]content, n)
	for pc := range said {
		said[pc] = at(rows, uint32(pc))
	}
	return said
}

func drawSaid(t *rapid.T, name string) []content {
	kinds := []content{none, {cfa: 1, kind: KindSP}, {cfa: 2, kind: KindSP}, {cfa: 2, fp: -2, kind: KindFP}}
	return rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 40).Draw(t, name)
}

// canonical checks that no two rows have the same address, and no neighbours the
// same rule, that the first says something and the last nothing.
func canonical(t *rapid.T, rows []Row) {
	for i, row := range rows {
		if i > 0 && (row.PC <= rows[i-1].PC || row.content() == rows[i-1].content()) || i == 0 && row.content() == none {
			t.Fatalf("row %d of %v", i, rows)
		}
	}
	if n := len(rows); n > 0 && rows[n-1].content() != none {
		t.Fatalf("the last of %v", rows)
	}
}

// TestMerge compares with merging address by address.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, second := drawSaid(t, "first"), drawSaid(t, "second")
		merged, err := merge(rowsOf(first), rowsOf(second), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		canonical(t, merged)
		for pc, got := range saidBy(merged, 50) {
			want := none
			if pc < len(second) {
				want = second[pc]
			}
			if pc < len(first) && first[pc] != none {
				want = first[pc]
			}
			if got != want {
				t.Errorf("%d is %v, want %v", pc, got, want)
			}
		}
	})
}

// TestOverlay compares with doing it address by address.
func TestOverlay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		said := drawSaid(t, "said")
		start := rapid.IntRange(0, 45).Draw(t, "start")
		end := start + rapid.IntRange(1, 10).Draw(t, "length")
		what := content{kind: KindSignal}
		rows := overlay(rowsOf(said), uint32(start), uint32(end), what)
		canonical(t, rows)
		for pc, got := range saidBy(rows, 60) {
			want := none
			if pc < len(said) {
				want = said[pc]
			}
			if pc >= start && pc < end {
				want = what
			}
			if got != want {
				t.Errorf("%d is %v, want %v", pc, got, want)
			}
		}
	})
}
