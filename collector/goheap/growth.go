package goheap

// growth is what is known of how the heap of a program became more while it was recorded.
type growth struct {
	// fresh programs began after the recording: all of theirs counts.
	fresh bool
	base  map[uint64]Counts // by bucket: what was there before; nil until the first reading
	late  map[uint64]bool   // buckets that the first reading had to skip
	given map[uint64][2]int64
}

// add gives samples of what was allocated since the reading before. Each is the difference of
// two estimates of all since the beginning, so that their sum has no more rounding than one.
func (g *growth) add(h *Heap, s Snapshot) ([]Sample, error) {
	if g.base == nil {
		g.begin(s)
	}
	var samples []Sample
	n := namer{heap: h, places: map[uint64]place{}}
	for _, r := range s.Records {
		all := r.Counts.plus(r.Pending)
		if g.late[r.bucket] {
			delete(g.late, r.bucket)
			g.base[r.bucket] = all
		}
		since := all.minus(g.base[r.bucket])
		objects, bytes := Scale(since.AllocObjects, since.AllocBytes, s.Rate)
		given := g.given[r.bucket]
		if objects == given[0] && bytes == given[1] {
			continue
		}
		g.given[r.bucket] = [2]int64{objects, bytes}
		sample := Sample{Size: r.Size, Values: [4]int64{objects - given[0], bytes - given[1], 0, 0}}
		var err error
		if sample.Stack, sample.Unwind, err = n.frames(r.Stack); err != nil {
			return nil, err
		}
		samples = append(samples, sample)
	}
	return samples, nil
}

// begin takes the first reading for what was there before.
func (g *growth) begin(s Snapshot) {
	g.base, g.given, g.late = map[uint64]Counts{}, map[uint64][2]int64{}, map[uint64]bool{}
	if g.fresh {
		return
	}
	for _, r := range s.Records {
		g.base[r.bucket] = r.Counts.plus(r.Pending)
	}
	for bucket := range s.skipped {
		g.late[bucket] = true
	}
}

// inUse gives samples of what a snapshot has in use.
func inUse(h *Heap, s Snapshot) ([]Sample, error) {
	all, err := h.Samples(s)
	if err != nil {
		return nil, err
	}
	used := all[:0]
	for _, sample := range all {
		if sample.Values[2] != 0 || sample.Values[3] != 0 {
			sample.Values[0], sample.Values[1] = 0, 0
			used = append(used, sample)
		}
	}
	return used, nil
}
