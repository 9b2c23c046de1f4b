package vault

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/narrows-profiler/narrows/workloads/plant"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(writerVariable); folder != "" {
		writeForever(folder)
		return
	}
	goleak.VerifyTestMain(m)
}

// content is as many bytes as asked for, different for every seed.
func content(seed uint64, bytes int) []byte {
	var key [32]byte
	copy(key[:], fmt.Sprint(seed))
	c := make([]byte, bytes)
	_, _ = rand.NewChaCha8(key).Read(c) // never fails
	return c
}

func unit(id string, seed uint64, bytes int) *Unit {
	return &Unit{
		ID: id, SemanticHash: fmt.Sprintf("%064x", seed), OriginalTokenCount: bytes / 2, CompressedGlyphCount: bytes / 20,
		Content: content(seed, bytes), KVCacheBytes: bytes - bytes/10,
	}
}

func open(t testing.TB, c Config) *Vault {
	t.Helper()
	v, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func put(t testing.TB, v *Vault, u *Unit) Record {
	t.Helper()
	r, err := v.Put(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func closed(t testing.TB, v *Vault) {
	t.Helper()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// same compares a stored unit with what was put, whole and by chunks.
func same(t testing.TB, v *Vault, want *Unit) {
	t.Helper()
	r, parts, err := v.Get(want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Join(parts, nil); !bytes.Equal(got, want.Content) {
		t.Fatalf("%s: %d bytes came back other than the %d that were stored", want.ID, len(got), len(want.Content))
	}
	described := Record{want.ID, want.SemanticHash, want.OriginalTokenCount, want.CompressedGlyphCount, r.ChunkIDs, len(want.Content), want.KVCacheBytes}
	if diff := cmp.Diff(described, r); diff != "" || len(r.ChunkIDs) != len(parts) {
		t.Errorf("%s: %d parts, the record differs (-want +got):\n%s", want.ID, len(parts), diff)
	}
	for number, part := range parts {
		chunk, err := v.Chunk(want.ID, number)
		if err != nil || !bytes.Equal(chunk, part) {
			t.Errorf("%s: chunk %d alone is another, %v", want.ID, number, err)
		}
	}
	if _, err := v.Chunk(want.ID, len(parts)); !errors.Is(err, ErrNotFound) {
		t.Errorf("%s: beyond its last chunk: %v", want.ID, err)
	}
}

func TestUnitsComeBack(t *testing.T) {
	for _, fault := range []string{"", LockedFsync, RewrittenIndex, RankedReads, LockedFsync + "=fixed", RewrittenIndex + "=fixed", RankedReads + "=fixed", FreshMappings, FreshMappings + "=fixed"} {
		t.Run(fault, func(t *testing.T) {
			choice, err := plant.Parse(fault, Faults())
			if err != nil {
				t.Fatal(err)
			}
			c := Config{Folder: filepath.Join(t.TempDir(), "new"), Plant: choice}
			v := open(t, c)
			var units []*Unit
			for i, size := range []int{0, 1, 4095, ChunkBytes - 1, ChunkBytes, ChunkBytes + 1, 4 * ChunkBytes, 300_000} {
				u := unit(fmt.Sprintf("unit-%d", i), uint64(i), size)
				units = append(units, u)
				put(t, v, u)
				same(t, v, u)
			}
			units[2] = unit("unit-2", 99, 5*ChunkBytes) // in place of the old one
			put(t, v, units[2])
			if err := v.Delete(t.Context(), "unit-5"); err != nil {
				t.Fatal(err)
			}
			units = slices.Delete(units, 5, 6)
			for round := range 2 {
				for _, u := range units {
					same(t, v, u)
				}
				if _, _, err := v.Get("unit-5"); !errors.Is(err, ErrNotFound) {
					t.Errorf("the deleted unit: %v", err)
				}
				if err := v.Delete(t.Context(), "unit-5"); !errors.Is(err, ErrNotFound) {
					t.Errorf("deleting it again: %v", err)
				}
				if round == 0 {
					closed(t, v)
					v = open(t, c)
				}
			}
			checkList(t, v, units)
			closed(t, v)
		})
	}
}

// checkList pages through all units.
func checkList(t *testing.T, v *Vault, units []*Unit) {
	t.Helper()
	var want, got []string
	for _, u := range units {
		want = append(want, u.ID)
	}
	for after := ""; ; after = got[len(got)-1] {
		page, err := v.List(after, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			got = append(got, r.ID)
		}
		if len(page) < 3 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the list has %v, want %v", got, want)
	}
	s, err := v.Stats()
	if err != nil || s.Units != len(want) || s.FileBytes < 1<<16 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Whatever is done in whatever order, with reopening in between, a vault holds what a
// map would.
func TestVaultIsAMap(t *testing.T) {
	if os.Getenv("NARROWS_TEST_FULL") == "" {
		// Each of the usual hundred sequences waits for the disk some fifty times.
		if err := flag.Set("rapid.checks", "20"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		folder, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		c := Config{Folder: folder, CacheBytes: 100_000}
		v := open(t, c)
		defer func() { closed(t, v) }()
		model := map[string]*Unit{}
		ids := rapid.SampledFrom([]string{"a", "b", "c"})
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				id := ids.Draw(rt, "id")
				u := unit(id, rapid.Uint64().Draw(rt, "seed"), rapid.IntRange(0, 3*ChunkBytes).Draw(rt, "size"))
				put(t, v, u)
				model[id] = u
			},
			"delete": func(rt *rapid.T) {
				id := ids.Draw(rt, "id")
				err := v.Delete(t.Context(), id)
				if _, there := model[id]; there && err != nil || !there && !errors.Is(err, ErrNotFound) {
					rt.Fatalf("deleting %s, there: %v: %v", id, there, err)
				}
				delete(model, id)
			},
			"drop": func(rt *rapid.T) {
				if _, err := v.Drop(""); err != nil {
					rt.Fatal(err)
				}
			},
			"reopen": func(rt *rapid.T) {
				closed(t, v)
				v = open(t, c)
			},
			"": func(rt *rapid.T) {
				for _, id := range []string{"a", "b", "c"} {
					if u, there := model[id]; there {
						same(t, v, u)
					} else if _, _, err := v.Get(id); !errors.Is(err, ErrNotFound) {
						rt.Fatalf("%s was never put: %v", id, err)
					}
				}
			},
		})
	})
}

// Many at once: a reader sees some whole version of a unit, whatever writers do.
func TestConcurrentUse(t *testing.T) {
	v := open(t, Config{Folder: t.TempDir(), CacheBytes: 300_000})
	defer closed(t, v)
	versions := make([]*Unit, 4)
	for i := range versions {
		versions[i] = unit("shared", uint64(i), 1000+i*ChunkBytes)
	}
	put(t, v, versions[0])
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for i := range 25 {
				if _, err := v.Put(t.Context(), versions[(w+i)%4]); err != nil {
					t.Error(err)
				}
				own := unit(fmt.Sprintf("own-%d-%d", w, i), uint64(1000*w+i), 2000)
				if _, err := v.Put(t.Context(), own); err != nil {
					t.Error(err)
				}
				_, parts, err := v.Get("shared")
				if err != nil || !slices.ContainsFunc(versions, func(u *Unit) bool { return bytes.Equal(u.Content, bytes.Join(parts, nil)) }) {
					t.Errorf("no version that was put: %v", err)
				}
				if err := v.Delete(t.Context(), own.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	s, err := v.Stats()
	if err != nil || s.Units != 1 || s.Writes != 301 || s.Flushes > s.Writes {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestInvalidUnitsAreRefused(t *testing.T) {
	v := open(t, Config{Folder: t.TempDir()})
	defer closed(t, v)
	for name, change := range map[string]func(*Unit){
		"no ID":         func(u *Unit) { u.ID = "" },
		"path":          func(u *Unit) { u.ID = "../x" },
		"hidden":        func(u *Unit) { u.ID = ".x" },
		"line":          func(u *Unit) { u.ID = "x\n" },
		"long ID":       func(u *Unit) { u.ID = strings.Repeat("x", 129) },
		"hash":          func(u *Unit) { u.SemanticHash = `"` },
		"tokens":        func(u *Unit) { u.OriginalTokenCount = -1 },
		"glyphs":        func(u *Unit) { u.CompressedGlyphCount = -1 },
		"cache":         func(u *Unit) { u.KVCacheBytes = len(u.Content) + 1 },
		"negative":      func(u *Unit) { u.KVCacheBytes = -1 },
		"large content": func(u *Unit) { u.Content = make([]byte, MaxBytes+1) },
	} {
		u := unit("x", 1, 100)
		change(u)
		if _, err := v.Put(t.Context(), u); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := v.List("", 1); err != nil || len(list) != 0 {
		t.Errorf("stored %v, %v", list, err)
	}
}

func TestPutEndsWithItsContext(t *testing.T) {
	v := open(t, Config{Folder: t.TempDir()})
	defer closed(t, v)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("left")
	cancel(why)
	// The committer may be quicker than the look at the context, so it may be stored:
	// then it is whole.
	if _, err := v.Put(ctx, unit("x", 1, 100)); err != nil && !errors.Is(err, why) {
		t.Error(err)
	} else if _, _, getErr := v.Get("x"); getErr != nil && !(err != nil && errors.Is(getErr, ErrNotFound)) {
		t.Errorf("Put said %v, Get %v", err, getErr)
	}
}

func TestClosedVaultRefuses(t *testing.T) {
	v := open(t, Config{Folder: t.TempDir()})
	closed(t, v)
	if _, err := v.Put(t.Context(), unit("x", 1, 100)); !errors.Is(err, ErrClosed) {
		t.Errorf("Put: %v", err)
	}
	if _, _, err := v.Get("x"); err == nil {
		t.Error("Get gave no error")
	}
}
