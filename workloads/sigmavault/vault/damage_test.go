package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// damagedFile is the engine's file of a closed vault.
type damagedFile struct {
	t      *testing.T
	folder string
	units  []*Unit
	file   *os.File
	used   int64 // bytes; the rest was never written
}

// stored makes a vault of some units and closes it.
func stored(t *testing.T, units []*Unit) *damagedFile {
	t.Helper()
	d := &damagedFile{t: t, folder: t.TempDir(), units: units}
	v := open(t, Config{Folder: d.folder})
	for _, u := range units {
		put(t, v, u)
	}
	s, err := v.Stats()
	if err != nil {
		t.Fatal(err)
	}
	d.used = s.FileBytes
	closed(t, v)
	if d.file, err = os.OpenFile(filepath.Join(d.folder, engineName), os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.file.Close() })
	return d
}

// flip flips a bit, judges, and flips it back.
func (d *damagedFile) flip(at int64, bit int) (damaged int) {
	d.t.Helper()
	d.invert(at, bit)
	damaged = judge(d.t, d.folder, d.units, fmt.Sprintf("bit %d of byte %#x flipped", bit, at))
	d.invert(at, bit)
	return damaged
}

func (d *damagedFile) invert(at int64, bit int) {
	d.t.Helper()
	var one [1]byte
	_, err := d.file.ReadAt(one[:], at)
	one[0] ^= 1 << bit
	if err == nil {
		_, err = d.file.WriteAt(one[:], at)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// judge opens a damaged vault and reads everything: each unit is what was stored, or
// an error that says that it is damaged or not there.
func judge(t *testing.T, folder string, units []*Unit, damage string) (damaged int) {
	t.Helper()
	v, err := Open(Config{Folder: folder})
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrWrongKey) {
			t.Fatalf("%s: opening: %v", damage, err)
		}
		return len(units)
	}
	defer v.Close() // may fail on damaged pages
	for _, u := range units {
		r, parts, err := v.Get(u.ID)
		switch {
		case errors.Is(err, ErrDamaged), errors.Is(err, ErrNotFound):
			damaged++
		case err != nil:
			t.Fatalf("%s: %s: %v", damage, u.ID, err)
		case !bytes.Equal(bytes.Join(parts, nil), u.Content) || r.SemanticHash != u.SemanticHash || r.KVCacheBytes != u.KVCacheBytes:
			t.Fatalf("%s: %s came back wrong", damage, u.ID)
		}
	}
	return damaged
}

func someUnits() []*Unit {
	var units []*Unit
	for i, size := range []int{100, 20_000, ChunkBytes, 2*ChunkBytes + 1, 50_000, 7} {
		units = append(units, unit(fmt.Sprintf("unit-%d", i), uint64(i), size))
	}
	return units
}

// A bit flipped anywhere in the file is an error or without effect, never wrong bytes
// and never a crash.
func TestFlippedBitsAreErrors(t *testing.T) {
	d := stored(t, someUnits())
	random := rand.New(rand.NewPCG(3, 4))
	const flips = 200
	found := 0
	for range flips {
		if d.flip(random.Int64N(d.used), random.IntN(8)) > 0 {
			found++
		}
	}
	if found < flips/5 {
		t.Errorf("only %d of %d flips met anything: the test shows little", found, flips)
	}
	judge(t, d.folder, d.units, "nothing")
	if n := judge(t, d.folder, d.units, "nothing"); n != 0 {
		t.Errorf("%d units are damaged with every bit in its place", n)
	}
}

// The engine keeps its tree without checksums, in the headers and first elements of
// its pages.
func TestFlippedBitsOfTheTreeAreErrors(t *testing.T) {
	d := stored(t, someUnits()[:3])
	page := int64(os.Getpagesize())
	found := 0
	for at := int64(0); at < d.used; at += page {
		header := make([]byte, 16)
		if _, err := d.file.ReadAt(header, at); err != nil {
			t.Fatal(err)
		}
		if int64(binary.NativeEndian.Uint64(header)) != at/page {
			continue // the inside of a value: a page begins with its number
		}
		for offset := int64(0); offset < 64; offset++ {
			if d.flip(at+offset, int(at/page+offset)%8) > 0 {
				found++
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d flips met anything: the test shows little", found)
	}
}

func TestTruncatedFileIsAnError(t *testing.T) {
	d := stored(t, someUnits())
	for _, length := range []int64{d.used - 4096, d.used / 2, 16384, 8192, 4096, 100, 1} {
		if err := d.file.Truncate(length); err != nil {
			t.Fatal(err)
		}
		if judge(t, d.folder, d.units, fmt.Sprintf("cut off at %d", length)) == 0 && length <= d.used/2 {
			t.Errorf("cut off at %d: nothing is missing", length)
		}
	}
}

// Chunks and records that are whole but lie in another's place do not open.
func TestSwappedChunksAreErrors(t *testing.T) {
	units := []*Unit{unit("a", 1, 2*ChunkBytes), unit("b", 2, 2*ChunkBytes)}
	for name, swap := range map[string]func(records, chunks *bbolt.Bucket, a, b Record) error{
		"two chunks of a unit": func(_, chunks *bbolt.Bucket, a, _ Record) error {
			return exchange(chunks, a.ChunkIDs[0].key(), a.ChunkIDs[1].key())
		},
		"chunks of two units": func(_, chunks *bbolt.Bucket, a, b Record) error {
			return exchange(chunks, a.ChunkIDs[0].key(), b.ChunkIDs[0].key())
		},
		"records":       func(records, _ *bbolt.Bucket, _, _ Record) error { return exchange(records, []byte("a"), []byte("b")) },
		"missing chunk": func(_, chunks *bbolt.Bucket, a, _ Record) error { return chunks.Delete(a.ChunkIDs[1].key()) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			v := open(t, Config{Folder: folder})
			a, b := put(t, v, units[0]), put(t, v, units[1])
			closed(t, v)
			db, _, err := openEngine(folder)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Update(func(tx *bbolt.Tx) error { return swap(tx.Bucket(recordBucket), tx.Bucket(chunkBucket), a, b) }); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if judge(t, folder, units, name) == 0 {
				t.Error("it went unnoticed")
			}
		})
	}
}

func exchange(bucket *bbolt.Bucket, one, other []byte) error {
	first, second := bytes.Clone(bucket.Get(one)), bytes.Clone(bucket.Get(other))
	return errors.Join(bucket.Put(one, second), bucket.Put(other, first))
}

// A damaged unit does not keep others of its group from being stored, nor itself from
// being reported.
func TestDamagedUnitStandsAlone(t *testing.T) {
	folder := t.TempDir()
	v := open(t, Config{Folder: folder})
	put(t, v, unit("bad", 1, 100))
	closed(t, v)
	db, _, err := openEngine(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(recordBucket).Put([]byte("bad"), make([]byte, 50)) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	v = open(t, Config{Folder: folder})
	defer closed(t, v)
	bad, good := &write{id: "bad"}, unit("good", 2, 100)
	r, chunks := v.scatter(good)
	sealed, err := v.sealer.sealRecord(&r)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.flush([]*write{bad, {id: "good", record: sealed, chunks: chunks, entry: r}}); err != nil || !errors.Is(bad.err, ErrDamaged) {
		t.Errorf("%v, the damaged one: %v", err, bad.err)
	}
	same(t, v, good)
}
