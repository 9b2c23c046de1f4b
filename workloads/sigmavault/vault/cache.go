package vault

import (
	"fmt"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
)

// chunkCache keeps decrypted chunks up to a number of bytes. A chunk never changes
// and its ID is not given again, so nothing in the cache can be out of date.
type chunkCache struct {
	chunks  *otter.Cache[ChunkID, []byte]
	counter *stats.Counter
	ranked  *rankedCache // in place of chunks, only with the fault RankedReads
}

func newChunkCache(bytes int64, ranked bool) (*chunkCache, error) {
	counter := stats.NewCounter()
	chunks, err := otter.New(&otter.Options[ChunkID, []byte]{
		MaximumWeight: uint64(bytes),
		// An entry costs about as much beside its bytes.
		Weigher:       func(_ ChunkID, plain []byte) uint32 { return uint32(len(plain)) + 128 },
		StatsRecorder: counter,
		// On the caller's goroutine, so that none outlives the vault.
		Executor: func(task func()) { task() },
	})
	if err != nil {
		return nil, fmt.Errorf("making the cache: %w", err)
	}
	c := &chunkCache{chunks: chunks, counter: counter}
	if ranked {
		c.ranked = newRankedCache(bytes)
	}
	return c, nil
}

// get returns a chunk, or nil.
func (c *chunkCache) get(id ChunkID) []byte {
	if c.ranked != nil {
		plain := c.ranked.get(id)
		if plain == nil {
			c.counter.RecordMisses(1)
		} else {
			c.counter.RecordHits(1)
		}
		return plain
	}
	plain, _ := c.chunks.GetIfPresent(id)
	return plain
}

func (c *chunkCache) keep(id ChunkID, plain []byte) {
	if c.ranked != nil {
		c.ranked.keep(id, plain)
		return
	}
	c.chunks.Set(id, plain)
}

// drop forgets chunks and returns how many of them it had.
func (c *chunkCache) drop(ids []ChunkID) int {
	dropped := 0
	for _, id := range ids {
		if c.forget(id) {
			dropped++
		}
	}
	return dropped
}

func (c *chunkCache) forget(id ChunkID) (had bool) {
	if c.ranked != nil {
		return c.ranked.drop(id)
	}
	_, had = c.chunks.Invalidate(id)
	return had
}

// bytes is how much is kept.
func (c *chunkCache) bytes() uint64 {
	if c.ranked != nil {
		return uint64(c.ranked.bytes())
	}
	return c.chunks.WeightedSize()
}

func (c *chunkCache) dropAll() int {
	if c.ranked != nil {
		return c.ranked.dropAll()
	}
	dropped := c.chunks.EstimatedSize()
	c.chunks.InvalidateAll()
	return dropped
}
