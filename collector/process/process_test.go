package process

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Mappings by chance, over and beside each other, against what a table of pages says:
// each page has the file, and the offset in it, that was mapped there last.
func TestMapRangeByChance(t *testing.T) {
	const pages, page = 64, 0x1000
	random := rand.New(rand.NewPCG(1, 2))
	files := []*Binary{{Path: "/a"}, {Path: "/b"}, {Path: "//anon"}}
	for range 200 {
		p := &Process{}
		var truth [pages]Mapping
		var kept [][]Mapping // lists that somebody has, and what they were
		var were [][]Mapping
		for batch := range uint64(30) {
			start := random.Uint64N(pages)
			end := start + 1 + random.Uint64N(min(8, pages-start))
			m := Mapping{Start: start * page, End: end * page, Offset: random.Uint64N(4) * page, Binary: files[random.IntN(3)], Batch: batch}
			p.mapRange(m)
			for i := start; i < end; i++ {
				truth[i] = Mapping{Offset: m.Offset + (i-start)*page, Binary: m.Binary}
			}
			if random.IntN(4) == 0 {
				kept = append(kept, p.Mappings())
				were = append(were, slices.Clone(p.mappings))
			}
			check(t, p, truth[:])
		}
		for i := range kept {
			if !slices.Equal(kept[i], were[i]) {
				t.Fatal("a list that was given out has changed")
			}
		}
	}
}

func check(t *testing.T, p *Process, truth []Mapping) {
	t.Helper()
	for i := 1; i < len(p.mappings); i++ {
		if p.mappings[i-1].End > p.mappings[i].Start {
			t.Fatalf("mappings overlap, or are not sorted: %+v", p.mappings)
		}
	}
	for i, want := range truth {
		address := uint64(i)*0x1000 + 0x123
		m, ok := p.Find(address)
		switch {
		case ok != (want.Binary != nil):
			t.Fatalf("page %d: found %v in %+v", i, ok, p.mappings)
		case ok && m.Binary.Anonymous() && want.Binary.Anonymous():
		case ok && (m.Binary != want.Binary || address-m.Start+m.Offset != want.Offset+0x123):
			t.Fatalf("page %d is in %+v, want %+v", i, m, want)
		}
	}
}
