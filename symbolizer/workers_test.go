package symbolizer_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
)

// manyBinaries returns the same unnamed profile each time: places of several binaries,
// each mapped twice, and one without a build ID.
func manyBinaries(t *testing.T, count int) *profile.Profile {
	t.Helper()
	var places []place
	for i, path := range realBinaries(t) {
		places = append(places, randomPlaces(t, path, count, uint64(i))...)
		places = append(places, randomPlaces(t, path, count, uint64(i)+100)...)
	}
	anonymous := *places[0].mapping
	anonymous.BuildID = ""
	for _, p := range places[:count] {
		places = append(places, place{&anonymous, p.address})
	}
	return newProfile(places...)
}

// TestManyWorkersGiveTheSameProfile compares whole profiles, functions and their order
// included, made with indexes and without.
func TestManyWorkersGiveTheSameProfile(t *testing.T) {
	for _, count := range []int{100, 5_000} { // looked up one by one, and by an index of all
		want, wantStats := map[string]string{}, map[string]symbolizer.Statistics{}
		for _, workers := range []int{1, 2, 8} {
			dir := filepath.Join(t.TempDir(), "narrows")
			for _, when := range []string{"made", "read"} {
				s := symbolizer.New(symbolizer.Config{
					Binaries: &files{}, Indexes: openFolder(t, dir), Workers: workers, MaxBinaries: 3,
				})
				p := manyBinaries(t, count)
				stats := symbolize(t, s, p)
				if err := p.CheckValid(); err != nil {
					t.Fatalf("%d workers: %v", workers, err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if workers == 1 {
					want[when], wantStats[when] = p.String(), stats
					continue
				}
				if got := p.String(); got != want[when] {
					t.Errorf("%d places, %d workers, index %s: another profile than with one worker", count, workers, when)
				}
				if diff := cmp.Diff(wantStats[when], stats); diff != "" {
					t.Errorf("%d places, %d workers, index %s (-one worker +several):\n%s", count, workers, when, diff)
				}
			}
		}
	}
}

// TestCancelledWorkers checks that all workers end with the context, and that what they
// leave is a valid profile.
func TestCancelledWorkers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := manyBinaries(t, 100)
	s := symbolizer.New(symbolizer.Config{Binaries: &files{}, Workers: 4})
	if _, err := s.Symbolize(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := errors.Join(p.CheckValid(), s.Close()); err != nil {
		t.Error(err)
	}
}
