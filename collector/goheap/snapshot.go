package goheap

import (
	"errors"
	"fmt"
)

// Counts are what was sampled, not what there was: Scale estimates that.
type Counts struct {
	AllocObjects, AllocBytes int64
	FreeObjects, FreeBytes   int64
}

// InUseObjects is how many of the sampled objects are not freed.
func (c Counts) InUseObjects() int64 { return c.AllocObjects - c.FreeObjects }

// InUseBytes is how many bytes of the sampled objects are not freed.
func (c Counts) InUseBytes() int64 { return c.AllocBytes - c.FreeBytes }

func (c Counts) minus(o Counts) Counts {
	return Counts{c.AllocObjects - o.AllocObjects, c.AllocBytes - o.AllocBytes, c.FreeObjects - o.FreeObjects, c.FreeBytes - o.FreeBytes}
}

func (c Counts) plus(o Counts) Counts {
	return Counts{c.AllocObjects + o.AllocObjects, c.AllocBytes + o.AllocBytes, c.FreeObjects + o.FreeObjects, c.FreeBytes + o.FreeBytes}
}

func (t tally) counts() Counts {
	return Counts{int64(t.allocs), int64(t.allocBytes), int64(t.frees), int64(t.freeBytes)}
}

// Record is what was sampled of allocations of one size at one stack.
type Record struct {
	// Stack has return addresses, the innermost first, with one for each inlined function,
	// as runtime.Callers gives them. It is not to be changed.
	Stack []uint64
	// Size is that of each object.
	Size int64
	// Counts are what the program's own heap profile has.
	Counts
	// Pending is what was counted since and is not published yet: for allocations to be
	// published, two garbage collections have to come to their end, so that what of them is
	// garbage is known.
	Pending Counts

	bucket uint64
}

// Snapshot is a program's heap profile at a time.
type Snapshot struct {
	// Rate is runtime.MemProfileRate: one sample for so many bytes, on average.
	Rate    int64
	Records []Record
	// Skipped is how many records are missing because their numbers could not be true
	// however often they were read.
	Skipped int
	// Mixed says that the records are not of one moment: garbage collections published
	// more between any two readings.
	Mixed bool

	skipped map[uint64]bool
	of      *Heap
}

func newSnapshot(h *Heap, rate int64, buckets []bucket) Snapshot {
	s := Snapshot{Rate: rate, of: h, skipped: map[uint64]bool{}, Records: make([]Record, 0, len(buckets))}
	for i := range buckets {
		b := &buckets[i]
		if b.torn {
			s.Skipped++
			s.skipped[b.address] = true
			continue
		}
		s.Records = append(s.Records, Record{
			Stack: b.stack, Size: int64(b.size), Counts: b.published.counts(), Pending: b.pending.counts(), bucket: b.address,
		})
	}
	return s
}

// ErrIncomparable says that of two snapshots none can be taken from the other.
var ErrIncomparable = errors.New("the snapshots cannot be compared")

// Sub is what came since an earlier snapshot of the same program. Records in which nothing
// has changed are left out, and those that one of both had to skip. What was counted,
// published or pending, never becomes less; what is published may, where nothing was
// before and Read gave all for published.
func (s Snapshot) Sub(earlier Snapshot) (Snapshot, error) {
	if s.of != earlier.of {
		return Snapshot{}, fmt.Errorf("%w: they are of two programs", ErrIncomparable)
	}
	if s.Rate != earlier.Rate {
		return Snapshot{}, fmt.Errorf("%w: MemProfileRate was %d and is %d", ErrIncomparable, earlier.Rate, s.Rate)
	}
	before := make(map[uint64]*Record, len(earlier.Records))
	for i := range earlier.Records {
		before[earlier.Records[i].bucket] = &earlier.Records[i]
	}
	since := Snapshot{Rate: s.Rate, Skipped: s.Skipped, Mixed: s.Mixed || earlier.Mixed, of: s.of, skipped: s.skipped}
	for _, r := range s.Records {
		if earlier.skipped[r.bucket] {
			since.Skipped++
			continue
		}
		if was := before[r.bucket]; was != nil {
			r.Counts, r.Pending = r.Counts.minus(was.Counts), r.Pending.minus(was.Pending)
		}
		if r.Counts != (Counts{}) || r.Pending != (Counts{}) {
			since.Records = append(since.Records, r)
		}
	}
	return since, nil
}
