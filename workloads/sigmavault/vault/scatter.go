package vault

import "fmt"

// sealedChunk is a chunk as it lies on disk.
type sealedChunk struct {
	id    ChunkID
	bytes []byte
}

// chunkCount is the number of chunks of a content.
func chunkCount(bytes int) int { return (bytes + ChunkBytes - 1) / ChunkBytes }

// piece returns one chunk of a content.
func piece(content []byte, number int) []byte {
	return content[number*ChunkBytes : min((number+1)*ChunkBytes, len(content))]
}

// scatter cuts a unit into sealed chunks and gives each an ID that was never given.
func (v *Vault) scatter(u *Unit) (Record, []sealedChunk) {
	r := Record{
		ID: u.ID, SemanticHash: u.SemanticHash,
		OriginalTokenCount: u.OriginalTokenCount, CompressedGlyphCount: u.CompressedGlyphCount,
		ChunkIDs: []ChunkID{}, Bytes: len(u.Content), KVCacheBytes: u.KVCacheBytes,
	}
	var chunks []sealedChunk
	for number := range chunkCount(len(u.Content)) {
		id := ChunkID(v.lastID.Add(1))
		r.ChunkIDs = append(r.ChunkIDs, id)
		chunks = append(chunks, sealedChunk{id, v.sealer.encryptChunk(piece(u.Content, number), u.ID, id, number)})
	}
	return r, chunks
}

// gather collects the chunks of a unit, from the cache or from what lookUp returns
// for those that are not in it.
func (v *Vault) gather(r *Record, lookUp func(ChunkID) []byte) ([][]byte, error) {
	if want := chunkCount(r.Bytes); want != len(r.ChunkIDs) {
		return nil, fmt.Errorf("%w: unit %s of %d bytes has %d chunks", ErrDamaged, r.ID, r.Bytes, len(r.ChunkIDs))
	}
	parts := make([][]byte, len(r.ChunkIDs))
	sealed := make([][]byte, len(r.ChunkIDs))
	for number, id := range r.ChunkIDs {
		if parts[number] = v.cache.get(id); parts[number] != nil {
			continue
		}
		if sealed[number] = lookUp(id); sealed[number] == nil {
			return nil, fmt.Errorf("%w: chunk %d of unit %s is missing", ErrDamaged, number, r.ID)
		}
		prefetch(sealed[number])
	}
	for number, id := range r.ChunkIDs {
		if parts[number] != nil {
			continue
		}
		var err error
		if parts[number], err = v.sealer.decryptChunk(sealed[number], r.ID, id, number); err != nil {
			return nil, err
		}
		v.cache.keep(id, parts[number])
	}
	return parts, nil
}
