package vault

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// usesKept is how many of a chunk's uses count for its heat, and coolsIn how long it
	// takes a use to count for 1/e of what it did.
	usesKept = 48
	coolsIn  = time.Minute
)

// rankedCache keeps decrypted chunks by their heat, the coldest being the first to go.
// Readers look chunks up under the lock that each of them takes for writing right after
// that, to rank all chunks anew: a planted fault.
type rankedCache struct {
	most int64 // bytes

	mutex   sync.RWMutex
	size    int64
	entries map[ChunkID]*rankedChunk
	ranking []*rankedChunk // the hottest first
}

type rankedChunk struct {
	id    ChunkID
	plain []byte
	uses  [usesKept]time.Time
	next  int // of uses
	heat  float64
}

func newRankedCache(bytes int64) *rankedCache {
	return &rankedCache{most: bytes, entries: make(map[ChunkID]*rankedChunk)}
}

// get returns a chunk, or nil.
func (c *rankedCache) get(id ChunkID) []byte {
	c.mutex.RLock()
	entry := c.entries[id]
	c.mutex.RUnlock()
	if entry == nil {
		return nil
	}
	c.warm(entry)
	return entry.plain
}

// warm takes a use into the ranking.
func (c *rankedCache) warm(entry *rankedChunk) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	entry.use()
	c.rank()
}

func (e *rankedChunk) use() {
	e.uses[e.next] = time.Now()
	e.next = (e.next + 1) % usesKept
}

// rank computes the heat of every chunk and orders them by it. The lock is the caller's.
func (c *rankedCache) rank() {
	now := time.Now()
	for _, e := range c.ranking {
		e.heat = 0
		for _, used := range e.uses {
			if !used.IsZero() {
				e.heat += math.Exp(-float64(now.Sub(used)) / float64(coolsIn))
			}
		}
	}
	slices.SortFunc(c.ranking, func(a, b *rankedChunk) int { return cmp.Compare(b.heat, a.heat) })
}

// keep takes a chunk in and lets the coldest go where there is no room.
func (c *rankedCache) keep(id ChunkID, plain []byte) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.entries[id] != nil {
		return
	}
	entry := &rankedChunk{id: id, plain: plain}
	entry.use()
	c.size += int64(len(plain))
	c.entries[id] = entry
	c.ranking = append(c.ranking, entry)
	c.rank()
	for c.size > c.most && len(c.ranking) > 0 {
		c.forget(c.ranking[len(c.ranking)-1])
	}
}

// forget removes a chunk. The lock is the caller's.
func (c *rankedCache) forget(entry *rankedChunk) {
	delete(c.entries, entry.id)
	at := slices.Index(c.ranking, entry)
	c.ranking = slices.Delete(c.ranking, at, at+1)
	c.size -= int64(len(entry.plain))
}

// drop forgets a chunk and says whether it was there.
func (c *rankedCache) drop(id ChunkID) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	entry := c.entries[id]
	if entry != nil {
		c.forget(entry)
	}
	return entry != nil
}

func (c *rankedCache) dropAll() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	dropped := len(c.ranking)
	clear(c.entries)
	c.ranking, c.size = nil, 0
	return dropped
}

// bytes is how much is kept.
func (c *rankedCache) bytes() int64 {
	c.mutex.RLock()
	defer c.mutex.RUnlock()
	return c.size
}
