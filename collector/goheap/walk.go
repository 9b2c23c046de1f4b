package goheap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrMalformed says that what is in the memory is no heap profile as far as this package
// knows them.
var ErrMalformed = errors.New("not a heap profile of a known layout")

// Limits on what a process may say. The largest profiles seen have some 50,000 buckets.
const (
	maxBuckets = 1_000_000
	maxFrames  = 32 << 20 // of all stacks together
	// maxPasses bounds how often all records are read until two readings agree.
	maxPasses = 10
	// tornTries is how often a bucket with impossible numbers is read again, and tornWaits
	// how often that waits, in one pass.
	tornTries = 20
	tornWaits = 200
	tornWait  = time.Millisecond
)

// bucket is one size of allocation at one stack. All but the counts never changes.
type bucket struct {
	address uint64
	size    uint64
	stack   []uint64
	counts
}

// counts are what was read of a bucket at a time.
type counts struct {
	published, pending tally
	cycle              uint32
	torn               bool // the numbers were impossible each time
}

func (b *bucket) record() uint64 { return b.address + headerBytes + uint64(len(b.stack))*wordBytes }

// walker reads the profile out of memory.
type walker struct {
	windows
	head uint64 // address of mbuckets
	wait func(time.Duration)
}

// word reads one.
func (w *walker) word(address uint64) (uint64, error) {
	var raw [wordBytes]byte
	if n, err := w.memory.ReadAt(raw[:], int64(address)); n < len(raw) {
		return 0, fmt.Errorf("reading a variable at %#x: %w", address, gone(err))
	}
	return binary.LittleEndian.Uint64(raw[:]), nil
}

// list follows the list from its head on. What is in it is complete: the runtime puts
// nothing else there.
func (w *walker) list(ctx context.Context) ([]bucket, error) {
	address, err := w.word(w.head)
	if err != nil {
		return nil, err
	}
	var found []bucket
	frames := 0
	turn := loop{seen: address}
	for address != 0 {
		if len(found) == maxBuckets {
			return nil, fmt.Errorf("%w: more than %d buckets", ErrMalformed, maxBuckets)
		}
		if len(found)%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b, next, err := w.bucket(address)
		if err != nil {
			return nil, fmt.Errorf("bucket %d: %w", len(found), err)
		}
		if frames += len(b.stack); frames > maxFrames {
			return nil, fmt.Errorf("%w: stacks of more than %d frames together", ErrMalformed, maxFrames)
		}
		found = append(found, b)
		if turn.closes(next) {
			return nil, fmt.Errorf("%w: the list of buckets comes back to %#x", ErrMalformed, next)
		}
		address = next
	}
	return found, nil
}

// loop finds out that a list goes in a circle, by keeping one place of it, each time
// twice as long (Brent's algorithm).
type loop struct {
	seen        uint64
	steps, turn int
}

func (l *loop) closes(next uint64) bool {
	if next != 0 && next == l.seen {
		return true
	}
	if l.steps++; l.steps > l.turn {
		l.seen, l.steps, l.turn = next, 0, 2*l.turn+1
	}
	return false
}

// bucket reads what never changes of one, and where the next is.
func (w *walker) bucket(address uint64) (bucket, uint64, error) {
	raw, _, err := w.read(address, headerBytes)
	if err != nil {
		return bucket{}, 0, err
	}
	h := readHeader(raw)
	if !h.plausible() {
		return bucket{}, 0, fmt.Errorf("%w: at %#x is no bucket", ErrMalformed, address)
	}
	b := bucket{address: address, size: h.size, stack: make([]uint64, h.depth)}
	if raw, _, err = w.read(address+headerBytes, len(b.stack)*wordBytes); err != nil {
		return bucket{}, 0, err
	}
	for i := range b.stack {
		b.stack[i] = binary.LittleEndian.Uint64(raw[i*wordBytes:])
	}
	if hash(b.stack, b.size) != h.hash {
		return bucket{}, 0, fmt.Errorf("%w: the hash of the bucket at %#x is not that of its stack", ErrMalformed, address)
	}
	return b, h.next, nil
}

// count reads the counts of all buckets, until they are those of one moment: what is
// published only changes when a garbage collection or the program itself publishes more,
// so two readings that agree had nothing between them. It reports whether they did.
func (w *walker) count(ctx context.Context, buckets []bucket) (settled bool, err error) {
	for try := 0; try < maxPasses && !settled && err == nil; try++ {
		same, passErr := w.pass(ctx, buckets)
		settled, err = same && try > 0, passErr
	}
	publishAll(buckets)
	return settled, err
}

// pass reads all counts once, and reports whether what is published is as before, and of one
// cycle.
func (w *walker) pass(ctx context.Context, buckets []bucket) (same bool, err error) {
	w.forget()
	same = true
	waits := tornWaits
	for i := range buckets {
		if i%1024 == 0 && ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		b := &buckets[i]
		c, err := w.counts(b, &waits)
		if err != nil {
			return false, fmt.Errorf("the counts of bucket %d: %w", i, err)
		}
		same = same && c.published == b.published && c.torn == b.torn && c.cycle == b.cycle && c.cycle == buckets[0].cycle
		b.counts = c
	}
	return same, nil
}

// counts reads those of one bucket, again if a flush or an allocation was in the midst of
// changing them.
func (w *walker) counts(b *bucket, waits *int) (counts, error) {
	raw, cycle, err := w.read(b.record(), recordBytes)
	for try := 0; ; try++ {
		if err != nil {
			return counts{}, err
		}
		r := readRecord(raw)
		if r.possible(b.size) {
			published, pending := r.split(cycle)
			return counts{published: published, pending: pending, cycle: cycle}, nil
		}
		if try == tornTries {
			return counts{cycle: cycle, torn: true}, nil
		}
		// Whoever changes them is through in nanoseconds, unless its thread does not run.
		if try > 2 && *waits > 0 {
			*waits--
			w.wait(tornWait)
		}
		raw, cycle, err = w.direct(b.record(), recordBytes)
	}
}

// publishAll makes all that was counted count as published where nothing is.
func publishAll(buckets []bucket) {
	for i := range buckets {
		if p := buckets[i].published; p.allocs != 0 || p.frees != 0 {
			return
		}
	}
	for i := range buckets {
		b := &buckets[i]
		b.published, b.pending = b.published.plus(b.pending), tally{}
	}
}
