package goheap

// growth is what is known of how the heap of a program became more while it was recorded.
type growth struct {
	// fresh programs began after the recording: all of theirs counts.
	fresh bool
	// given is how much was allocated, objects and bytes, by bucket, when it was read last; nil
	// until the first reading.
	given map[uint64][2]int64
	late  map[uint64]bool // buckets that the first reading had to skip
	last  Snapshot
}

// add gives samples of what was allocated since the reading before: differences of what the
// program's own profiles would say, so that no rounding adds up. What is pending counts.
func (g *growth) add(h *Heap, s Snapshot) ([]Sample, error) {
	if g.given == nil {
		g.begin(s)
	}
	if s.Rate != g.last.Rate { // as programs should set it, once, at the beginning of main
		for _, r := range g.last.Records {
			objects, bytes := r.allocated(s.Rate)
			g.given[r.bucket] = [2]int64{objects, bytes}
		}
	}
	g.last = s
	var samples []Sample
	n := namer{heap: h, places: map[uint64]place{}}
	for _, r := range s.Records {
		objects, bytes := r.allocated(s.Rate)
		given := g.given[r.bucket]
		if objects == given[0] && bytes == given[1] {
			continue
		}
		g.given[r.bucket] = [2]int64{objects, bytes}
		if g.late[r.bucket] {
			delete(g.late, r.bucket) // how much of it is new is not known
			continue
		}
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
	g.last.Rate = s.Rate
	g.given, g.late = map[uint64][2]int64{}, map[uint64]bool{}
	if g.fresh {
		return
	}
	for _, r := range s.Records {
		objects, bytes := r.allocated(s.Rate)
		g.given[r.bucket] = [2]int64{objects, bytes}
	}
	for bucket := range s.skipped {
		g.late[bucket] = true
	}
}

// allocated estimates how much was allocated up to now, what is pending too.
func (r Record) allocated(rate int64) (objects, bytes int64) {
	all := r.Counts.plus(r.Pending)
	return Scale(all.AllocObjects, all.AllocBytes, rate)
}

// inUse gives samples of what a snapshot has in use, and of which bucket each is.
func inUse(h *Heap, s Snapshot) (used []Sample, buckets []uint64, err error) {
	all, err := h.Samples(s)
	if err != nil {
		return nil, nil, err
	}
	for i, sample := range all {
		if sample.Values[2] != 0 || sample.Values[3] != 0 {
			sample.Values[0], sample.Values[1] = 0, 0
			used = append(used, sample)
			buckets = append(buckets, s.Records[i].bucket)
		}
	}
	return used, buckets, nil
}
