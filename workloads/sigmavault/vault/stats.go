package vault

import (
	"go.etcd.io/bbolt"
)

// Stats are a vault's numbers since it was opened, but for the number of units and
// the size of the file, which are its own.
type Stats struct {
	Units     int   `json:"rsus"`
	FileBytes int64 `json:"file_bytes"`
	// Writes were made durable by Flushes of the disk.
	Writes  int64 `json:"writes"`
	Flushes int64 `json:"flushes"`
	// CacheHits and CacheMisses count chunks.
	CacheHits      uint64 `json:"cache_hits"`
	CacheMisses    uint64 `json:"cache_misses"`
	CacheEvictions uint64 `json:"cache_evictions"`
	CacheBytes     uint64 `json:"cache_bytes"`
}

// Stats counts.
func (v *Vault) Stats() (Stats, error) {
	cached := v.cache.counter.Snapshot()
	s := Stats{
		Writes: v.commit.writes.Load(), Flushes: v.commit.groups.Load(),
		CacheHits: cached.Hits, CacheMisses: cached.Misses, CacheEvictions: cached.Evictions,
		CacheBytes: v.cache.bytes(),
	}
	err := v.view(func(records, _ *bbolt.Bucket) error {
		s.Units = records.Stats().KeyN
		s.FileBytes = records.Tx().Size()
		return nil
	})
	return s, err
}

// Drop makes the next read of a unit, or of every unit if id is empty, a cold one: it
// takes the unit's chunks out of the cache, and the whole file out of the page cache.
// It returns how many chunks the cache had of it.
func (v *Vault) Drop(id string) (chunks int, err error) {
	if id == "" {
		chunks = v.cache.dropAll()
	} else {
		r, err := v.Record(id)
		if err != nil {
			return 0, err
		}
		chunks = v.cache.drop(r.ChunkIDs)
	}
	return chunks, dropPages(v.db, v.file)
}
