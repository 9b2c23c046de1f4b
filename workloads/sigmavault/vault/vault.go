package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/narrows-profiler/narrows/workloads/plant"
)

// DefaultCacheBytes bounds the cache unless told otherwise.
const DefaultCacheBytes = 64 << 20

// Config says where a vault is and how it works.
type Config struct {
	// Folder holds the vault's files. It is made if it is not there.
	Folder string
	// KeyFile is sigmavault.key in the folder when empty. It is made only together
	// with a new vault.
	KeyFile    string
	CacheBytes int64 // 0 for DefaultCacheBytes
	Plant      plant.Choice
}

// Vault is an open vault; one process can have it open at a time. Its methods may be
// called from many goroutines.
type Vault struct {
	db     *bbolt.DB
	file   *os.File // the engine's
	sealer *sealer
	cache  *chunkCache
	commit *committer
	lastID atomic.Uint64

	global *sync.Mutex // only with the fault LockedFsync
	index  *index      // only with the fault RewrittenIndex

	secrets bool // the fault FreshMappings
}

// Open opens the vault of a folder, or makes one.
func Open(c Config) (*Vault, error) {
	if c.KeyFile == "" {
		c.KeyFile = filepath.Join(c.Folder, keyName)
	}
	if c.CacheBytes <= 0 {
		c.CacheBytes = DefaultCacheBytes
	}
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("making the vault's folder: %w", err)
	}
	db, file, err := openEngine(c.Folder)
	if err != nil {
		return nil, err
	}
	v := &Vault{db: db, file: file}
	if err := v.complete(c); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return v, nil
}

// complete gives an open engine what makes it a vault.
func (v *Vault) complete(c Config) error {
	used, err := inUse(v.db)
	if err != nil {
		return err
	}
	key, err := findKey(c.KeyFile, !used)
	if err != nil {
		return err
	}
	if v.sealer, err = newSealer(key); err != nil {
		return err
	}
	if !used {
		if err := errors.Join(furnish(v.db, v.sealer), syncFolder(c.Folder)); err != nil {
			return err
		}
	}
	last, err := inspect(v.db, v.sealer)
	if err != nil {
		return fmt.Errorf("opening the vault %s with the key %s: %w", c.Folder, c.KeyFile, err)
	}
	v.lastID.Store(uint64(last))
	if v.cache, err = newChunkCache(c.CacheBytes, c.Plant.Has(RankedReads)); err != nil {
		return err
	}
	if c.Plant.Has(LockedFsync) {
		v.global = new(sync.Mutex)
	}
	if c.Plant.Has(RewrittenIndex) {
		if v.index, err = openIndex(c.Folder, v); err != nil {
			return err
		}
	}
	v.secrets = c.Plant.Has(FreshMappings)
	v.commit = newCommitter(v.flush)
	return nil
}

// Close ends the vault. Every method afterwards fails or gives an error; none may be
// running.
func (v *Vault) Close() error {
	v.commit.close()
	var err error
	if v.index != nil {
		err = v.index.close()
	}
	if err = errors.Join(err, v.db.Close()); err != nil {
		return fmt.Errorf("closing the vault: %w", err)
	}
	return nil
}

// Put stores a unit, in place of the one of its ID if there is one, and returns when
// it is durable. Where ctx ends before that, it may be stored all the same, whole.
func (v *Vault) Put(ctx context.Context, u *Unit) (Record, error) {
	if err := u.Validate(); err != nil {
		return Record{}, err
	}
	if v.global != nil {
		return v.putLocked(u)
	}
	return v.put(u, func(w *write) error { return v.commit.submit(ctx, w) })
}

// put stores a unit by the given way to make a write durable.
func (v *Vault) put(u *Unit, durable func(*write) error) (Record, error) {
	r, chunks := v.scatter(u)
	sealed, err := v.sealer.sealRecord(&r)
	if err != nil {
		return Record{}, err
	}
	w := &write{id: u.ID, record: sealed, chunks: chunks, entry: r}
	if err := durable(w); err != nil {
		return Record{}, err
	}
	v.cache.drop(w.replaced)
	v.remember(&r, u.Content)
	return r, nil
}

// remember keeps what was just saved in the cache: it is what is restored next.
func (v *Vault) remember(r *Record, content []byte) {
	if len(r.ChunkIDs) == 1 {
		v.cache.keep(r.ChunkIDs[0], content)
		return
	}
	for number, id := range r.ChunkIDs {
		// A part of a larger array would keep the whole of it.
		v.cache.keep(id, bytes.Clone(piece(content, number)))
	}
}

// Delete removes a unit and returns when that is durable; ErrNotFound if there is
// none.
func (v *Vault) Delete(ctx context.Context, id string) error {
	if v.global != nil {
		return v.deleteLocked(id)
	}
	w := &write{id: id}
	if err := v.commit.submit(ctx, w); err != nil {
		return err
	}
	v.cache.drop(w.replaced)
	return nil
}

// Record returns what is known of a unit.
func (v *Vault) Record(id string) (r Record, err error) {
	err = v.view(func(records, _ *bbolt.Bucket) error {
		r, err = v.find(records, id)
		return err
	})
	return r, err
}

// Get returns a unit's record and its content in chunks, which must not be changed.
func (v *Vault) Get(id string) (r Record, parts [][]byte, err error) {
	defer v.lockGlobal()()
	err = v.view(func(records, chunks *bbolt.Bucket) error {
		if r, err = v.find(records, id); err != nil {
			return err
		}
		parts, err = v.gather(&r, func(id ChunkID) []byte { return chunks.Get(id.key()) })
		return err
	})
	if err == nil {
		err = v.throughSecret(parts)
	}
	if err != nil {
		return Record{}, nil, err
	}
	return r, parts, nil
}

// Chunk returns one chunk of a unit, which must not be changed; ErrNotFound beyond
// the last.
func (v *Vault) Chunk(id string, number int) (part []byte, err error) {
	defer v.lockGlobal()()
	err = v.view(func(records, chunks *bbolt.Bucket) error {
		r, err := v.find(records, id)
		if err != nil {
			return err
		}
		if number < 0 || number >= len(r.ChunkIDs) {
			return fmt.Errorf("%w: unit %s has %d chunks", ErrNotFound, id, len(r.ChunkIDs))
		}
		chunk := r.ChunkIDs[number]
		if part = v.cache.get(chunk); part != nil {
			return nil
		}
		sealed := chunks.Get(chunk.key())
		if sealed == nil {
			return fmt.Errorf("%w: chunk %d of unit %s is missing", ErrDamaged, number, id)
		}
		prefetch(sealed)
		if part, err = v.sealer.decryptChunk(sealed, id, chunk, number); err == nil {
			v.cache.keep(chunk, part)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	parts := [][]byte{part}
	if err := v.throughSecret(parts); err != nil {
		return nil, err
	}
	return parts[0], nil
}

// List returns the records of up to limit units whose IDs come after the given one,
// in the order of their IDs.
func (v *Vault) List(after string, limit int) (list []Record, err error) {
	if v.index != nil {
		return v.index.list(after, limit), nil
	}
	err = v.view(func(records, _ *bbolt.Bucket) error {
		cursor := records.Cursor()
		key, sealed := cursor.Seek([]byte(after))
		if string(key) == after {
			key, sealed = cursor.Next()
		}
		for ; key != nil && len(list) < limit; key, sealed = cursor.Next() {
			r, err := v.sealer.openRecord(sealed, string(key))
			if err != nil {
				return err
			}
			list = append(list, r)
		}
		return nil
	})
	return list, err
}

// find opens a unit's record.
func (v *Vault) find(records *bbolt.Bucket, id string) (Record, error) {
	if !ValidID(id) {
		return Record{}, fmt.Errorf("%w: %.140q", ErrNotFound, id)
	}
	sealed := records.Get([]byte(id))
	if sealed == nil {
		return Record{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return v.sealer.openRecord(sealed, id)
}
