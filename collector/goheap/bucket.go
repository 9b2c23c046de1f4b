package goheap

import (
	"encoding/binary"
	"math/bits"
)

// The layout of a bucket; see the package comment.
const (
	wordBytes   = 8
	headerWords = 6
	headerBytes = headerWords * wordBytes

	wordAllNext = 1
	wordType    = 2
	wordHash    = 3
	wordSize    = 4
	wordDepth   = 5

	memProfile = 1 // bucketType

	cycles      = 3 // of memRecord.future
	recordWords = (1 + cycles) * 4
	recordBytes = recordWords * wordBytes

	// cycleWrap is one above the highest number of a cycle (mProfCycleWrap).
	cycleWrap = cycles * (2 << 24)

	// maxDepth is the longest stack that any version records (maxProfStackDepth).
	maxDepth = 1024
)

// header is the beginning of a bucket.
type header struct{ next, kind, hash, size, depth uint64 }

func readHeader(raw []byte) header {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(raw[i*wordBytes:]) }
	return header{word(wordAllNext), word(wordType), word(wordHash), word(wordSize), word(wordDepth)}
}

// plausible tells whether it may be the header of a bucket of the heap profile.
func (h header) plausible() bool {
	return h.kind == memProfile && h.depth <= maxDepth && h.size < 1<<56
}

// hash is that of a bucket with a stack and a size (stkbucket in mprof.go).
func hash(stack []uint64, size uint64) uint64 {
	var h uint64
	for _, word := range stack {
		h += word
		h += h << 10
		h ^= h >> 6
	}
	h += size
	h += h << 10
	h ^= h >> 6
	h += h << 3
	return h ^ h>>11
}

// tally is a memRecordCycle.
type tally struct{ allocs, frees, allocBytes, freeBytes uint64 }

func (t tally) plus(o tally) tally {
	return tally{t.allocs + o.allocs, t.frees + o.frees, t.allocBytes + o.allocBytes, t.freeBytes + o.freeBytes}
}

// possible tells whether the runtime can have counted that of allocations of a size: all are
// of that size, and what is freed is not larger (chunks of arenas are freed as
// smaller ones).
func (t tally) possible(size uint64) bool {
	const most = 1 << 48
	high, bytes := bits.Mul64(t.allocs, size)
	freedHigh, freed := bits.Mul64(t.frees, size)
	return t.allocs < most && t.frees < most && high == 0 && freedHigh == 0 && bytes>>62 == 0 && freed>>62 == 0 &&
		t.allocBytes == bytes && t.freeBytes <= freed && (t.frees == 0 || t.freeBytes > 0)
}

// record is a memRecord.
type record struct {
	active tally
	future [cycles]tally
}

func readRecord(raw []byte) record {
	read := func(i int) tally {
		word := func(j int) uint64 { return binary.LittleEndian.Uint64(raw[(4*i+j)*wordBytes:]) }
		return tally{word(0), word(1), word(2), word(3)}
	}
	r := record{active: read(0)}
	for i := range r.future {
		r.future[i] = read(1 + i)
	}
	return r
}

func (r record) possible(size uint64) bool {
	for _, t := range r.future {
		if !t.possible(size) {
			return false
		}
	}
	return r.active.possible(size)
}

// split is what MemProfile would publish of the record in a cycle, and what it would not
// yet.
func (r record) split(cycle uint32) (published, pending tally) {
	published = r.active
	for i, t := range r.future {
		if uint32(i) == cycle%cycles {
			published = published.plus(t)
		} else {
			pending = pending.plus(t)
		}
	}
	return published, pending
}
