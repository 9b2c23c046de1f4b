package vault

import (
	"sync"
	"testing"
)

// The cache that ranks its chunks gives what was put in, and the coldest goes first.
func TestRankedCacheKeepsWhatIsHot(t *testing.T) {
	c := newRankedCache(1000)
	for id := range ChunkID(10) {
		c.keep(id, make([]byte, 100+id))
		for reader := ChunkID(0); reader < id; reader++ {
			c.get(reader)
		}
	}
	if c.bytes() > 1000 || c.get(0) == nil || c.get(8) != nil && len(c.get(8)) != 108 {
		t.Errorf("%d bytes are kept", c.bytes())
	}
	if !c.drop(0) || c.drop(0) || c.get(0) != nil {
		t.Error("a chunk that was dropped is there")
	}
	if kept := len(c.ranking); c.dropAll() != kept || c.bytes() != 0 || c.get(1) != nil {
		t.Errorf("of %d chunks some are left", kept)
	}
}

func TestRankedCacheServesManyReaders(t *testing.T) {
	c := newRankedCache(5000)
	var readers sync.WaitGroup
	for reader := range 4 {
		readers.Go(func() {
			for i := range 500 {
				id := ChunkID((i*7 + reader) % 90)
				if plain := c.get(id); plain != nil && (len(plain) != 100 || plain[0] != byte(id)) {
					t.Errorf("chunk %d is another one", id)
				}
				plain := make([]byte, 100)
				plain[0] = byte(id)
				c.keep(id, plain)
				if i%50 == 0 {
					c.drop(id)
				}
			}
		})
	}
	readers.Wait()
	if len(c.ranking) != len(c.entries) || c.bytes() != int64(100*len(c.entries)) || c.bytes() > 5000 {
		t.Errorf("%d ranked of %d, %d bytes", len(c.ranking), len(c.entries), c.bytes())
	}
}
