package symbolizer

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/pprof/profile"
)

// nameAll names all groups, those of different binaries at once, and returns one that
// failed. The groups after it may have been left out.
func (s *Symbolizer) nameAll(ctx context.Context, names *roster, groups []*mappingGroup) (failed *mappingGroup) {
	jobs := byBinary(groups)
	workers := min(s.config.Workers, s.config.MaxBinaries, len(jobs))
	if workers > 1 {
		// The last to begin should not be the longest.
		slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(b.locations, a.locations) })
	}
	var next atomic.Int64
	var failure atomic.Pointer[mappingGroup]
	work := func() {
		var room room
		for failure.Load() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(jobs) {
				return
			}
			for _, g := range jobs[i].groups {
				g.namer, g.stats = &namer{roster: names}, newBinaryStatistics(g)
				if g.err = s.name(ctx, g, &room); g.err != nil {
					failure.CompareAndSwap(nil, g)
					return
				}
			}
		}
	}
	var others sync.WaitGroup
	for range workers - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
	return failure.Load()
}

// A job is the mappings of one binary, which only one goroutine may use.
type job struct {
	groups    []*mappingGroup
	locations int
}

func byBinary(groups []*mappingGroup) []job {
	var jobs []job
	known := map[string]int{} // by build ID
	for _, g := range groups {
		id := ""
		if g.mapping != nil {
			id = g.mapping.BuildID
		}
		i, ok := known[id]
		if !ok || id == "" { // what has none is opened for each mapping
			i = len(jobs)
			jobs, known[id] = append(jobs, job{}), i
		}
		jobs[i].groups = append(jobs[i].groups, g)
		jobs[i].locations += len(g.locations)
	}
	return jobs
}

// name names the locations of one mapping and sets its flags.
func (s *Symbolizer) name(ctx context.Context, g *mappingGroup, room *room) error {
	defer setFlags(g)
	unnamed := g.unnamed()
	if len(unnamed) == 0 { // it need not be opened
		return nil
	}
	n, stats := g.namer, g.stats
	r := s.resolver(g.mapping, stats)
	if b, ok := r.(binaryResolver); ok {
		defer s.cache.release(b.binary)
		var err error
		if unnamed, err = s.nameByIndex(ctx, &lookup{namer: n, stats: stats, room: room}, b, unnamed); err != nil {
			return err
		}
	}
	// Neighbours are of one unit of compilation, which is read for the first of them.
	unnamed = slices.SortedStableFunc(slices.Values(unnamed), func(a, b *profile.Location) int { return cmp.Compare(a.Address, b.Address) })
	for i, l := range unnamed {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		found := r.resolve(l.Address)
		if len(found.frames) == 0 {
			n.placeholder(l, found.address)
			stats.unnamed(found.reason, 1)
			continue
		}
		n.name(l, found.frames)
		stats.Named++
		stats.Frames += len(found.frames)
	}
	return nil
}

// unnamed returns the locations that have no names yet, and counts the others.
func (g *mappingGroup) unnamed() []*profile.Location {
	unnamed := g.locations
	for i, l := range g.locations {
		if len(l.Line) > 0 && !isPlaceholder(l) {
			if g.stats.Kept == 0 {
				unnamed = slices.Clone(g.locations[:i])
			}
			g.stats.Kept++
		} else if g.stats.Kept > 0 {
			unnamed = append(unnamed, l)
		}
	}
	return unnamed
}
