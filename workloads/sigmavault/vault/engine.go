package vault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

const engineName = "sigmavault.db"

// The engine's buckets: records by the unit's ID, chunks by theirs.
var (
	metaBucket   = []byte("meta")
	recordBucket = []byte("records")
	chunkBucket  = []byte("chunks")
	checkKey     = []byte("key-check")
)

// mapBytes is how much of the engine's file is mapped from the beginning: growing
// the mapping later would have to wait for all readers. It is address space, not
// memory.
const mapBytes = 1 << 30

// lockTimeout bounds the wait for another process that has the vault open.
const lockTimeout = time.Second

// openEngine opens the file, or makes it; the engine owns the returned file.
func openEngine(folder string) (db *bbolt.DB, file *os.File, err error) {
	path := filepath.Join(folder, engineName)
	options := bbolt.Options{
		Timeout: lockTimeout, InitialMmapSize: mapBytes, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flags int, mode fs.FileMode) (*os.File, error) {
			var err error
			file, err = os.OpenFile(name, flags, mode)
			return file, err
		},
	}
	err = guarded(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &options)
		return err
	})
	if err == nil {
		return db, file, nil
	}
	// The engine closed it, unless it was stopped: then its mapping would keep the lock.
	if file != nil && file.Fd() != ^uintptr(0) {
		_ = unix.Flock(int(file.Fd()), unix.LOCK_UN)
		_ = file.Close()
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, nil, fmt.Errorf("opening %s: another process has it open", path)
	case errors.As(err, new(syscall.Errno)), errors.Is(err, ErrDamaged):
		return nil, nil, fmt.Errorf("opening %s: %w", path, err)
	}
	// Not the system's word but the engine's, on what it read.
	return nil, nil, fmt.Errorf("opening %s: %w: %w", path, ErrDamaged, err)
}

// guarded calls the engine and turns the panics with which it meets pages that make
// no sense, and the faults of addresses that it reads there, into an error.
func guarded(call func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the engine stopped: %v", ErrDamaged, r)
		}
	}()
	return call()
}

// view reads in one transaction: what it sees belongs together.
func (v *Vault) view(read func(records, chunks *bbolt.Bucket) error) error {
	return guarded(func() error {
		return v.db.View(func(tx *bbolt.Tx) error { return within(tx, read) })
	})
}

// within calls a function with the two buckets of a transaction.
func within(tx *bbolt.Tx, call func(records, chunks *bbolt.Bucket) error) error {
	records, chunks := tx.Bucket(recordBucket), tx.Bucket(chunkBucket)
	if records == nil || chunks == nil {
		return fmt.Errorf("%w: a bucket is missing", ErrDamaged)
	}
	return call(records, chunks)
}

// flush makes a group of writes durable, all of them or none. A write that cannot be
// made for reasons of its own has its err set and leaves the others alone.
func (v *Vault) flush(group []*write) error {
	all := func(records, chunks *bbolt.Bucket) error {
		chunks.FillPercent = 0.9 // keys only grow
		for _, w := range group {
			if err := v.apply(w, records, chunks); err != nil {
				return err
			}
		}
		return nil
	}
	err := guarded(func() error {
		return v.db.Update(func(tx *bbolt.Tx) error { return within(tx, all) })
	})
	if err != nil {
		return fmt.Errorf("writing to the vault: %w", err)
	}
	if v.index != nil {
		return v.index.update(group)
	}
	return nil
}

// apply makes one write within a transaction.
func (v *Vault) apply(w *write, records, chunks *bbolt.Bucket) error {
	key := []byte(w.id)
	if old := records.Get(key); old != nil {
		r, err := v.sealer.openRecord(old, w.id)
		if err != nil {
			w.err = err
			return nil
		}
		w.replaced = r.ChunkIDs
		for _, id := range r.ChunkIDs {
			if err := chunks.Delete(id.key()); err != nil {
				return err
			}
		}
	} else if w.record == nil {
		w.err = fmt.Errorf("%w: %s", ErrNotFound, w.id)
		return nil
	}
	if w.record == nil {
		return records.Delete(key)
	}
	for _, chunk := range w.chunks {
		if err := chunks.Put(chunk.id.key(), chunk.bytes); err != nil {
			return err
		}
	}
	return records.Put(key, w.record)
}

// inUse reports whether anything is in the engine's file.
func inUse(db *bbolt.DB) (is bool, err error) {
	err = guarded(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			first, _ := tx.Cursor().First()
			is = first != nil
			return nil
		})
	})
	return is, err
}

// furnish makes the buckets of a new vault.
func furnish(db *bbolt.DB, s *sealer) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{recordBucket, chunkBucket, metaBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return fmt.Errorf("making the vault's buckets: %w", err)
			}
		}
		return tx.Bucket(metaBucket).Put(checkKey, s.sealCheck())
	})
}

// inspect checks that the key belongs to the vault and returns the highest chunk ID
// in use.
func inspect(db *bbolt.DB, s *sealer) (last ChunkID, err error) {
	err = guarded(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			meta := tx.Bucket(metaBucket)
			if meta == nil {
				return fmt.Errorf("%w: a bucket is missing", ErrDamaged)
			}
			if !s.opensCheck(meta.Get(checkKey)) {
				return ErrWrongKey
			}
			return within(tx, func(_, chunks *bbolt.Bucket) error {
				if key, _ := chunks.Cursor().Last(); len(key) == 8 {
					last = ChunkID(binary.BigEndian.Uint64(key))
				}
				return nil
			})
		})
	})
	return last, err
}
