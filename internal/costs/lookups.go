package costs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/symbolizer"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

// corpora finds what is looked up: the binaries of the distribution, without lines, and
// others with debug information, which few machines have.
func corpora(ctx context.Context, t *Table) ([]corpus, error) {
	home, _ := os.UserHomeDir() // "" is no folder
	var found []corpus
	for _, kind := range []struct {
		name    string
		debug   bool
		folders []string
	}{
		{"without debug information", false, []string{"/usr"}},
		{"with debug information", true, []string{"/usr", "/opt", home}},
	} {
		c, err := findCorpus(ctx, kind.name, kind.debug, kind.folders...)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			t.skip("naming addresses in binaries "+kind.name, err)
			continue
		}
		found = append(found, c)
	}
	return found, nil
}

// what says what is named.
func (c *corpus) what() string {
	return fmt.Sprintf("naming %d different addresses in %d binaries %s", corpusAddresses, corpusBinaries, c.name)
}

// lookups measures how fast Narrows names.
func (b *bench) lookups(ctx context.Context) error {
	all, err := corpora(ctx, b.table)
	if err != nil {
		return err
	}
	for _, c := range all {
		if _, err := b.lookup(ctx, c, func() error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// speeds are addresses a second, by round: without any index, with indexes on a disk of
// which nothing is in memory, with indexes in the page cache, and of lookups alone. The
// first time includes making the indexes and writing them.
type speeds struct {
	first, fromDisk, warm, index []float64
	firstCPU, warmCPU            []float64 // CPU milliseconds, of all threads
}

// dropCaches has the kernel forget what it keeps of files.
func dropCaches() error {
	unix.Sync() // what is not written yet cannot be forgotten
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return fmt.Errorf("emptying the page cache: %w", err)
	}
	return nil
}

// lookup names in rounds. Each has beside at its end. The folders of all rounds are removed
// after the last: a file system may take its time over new files where others were just
// removed, which are not where a user names for the first time.
func (b *bench) lookup(ctx context.Context, c corpus, beside func() error) (s speeds, err error) {
	workers := runtime.GOMAXPROCS(0)
	var dirs []string
	defer func() {
		for _, dir := range dirs {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	for round := range repetitions {
		dir := filepath.Join(b.config.Dir, fmt.Sprintf("%s, indexes of round %d", c.name, round))
		dirs = append(dirs, dir)
		if err := b.lookupOnce(ctx, c, dir, workers, &s); err != nil {
			return speeds{}, err
		}
		if err := beside(); err != nil {
			return speeds{}, err
		}
	}
	by := fmt.Sprintf(" on %d CPUs", workers)
	b.table.add(c.what()+by+", the first time (no index yet; made and written too)", "addresses/s", Median(s.first))
	b.table.add(c.what()+by+", page cache emptied (indexes on disk)", "addresses/s", Median(s.fromDisk))
	b.table.add(c.what()+by+", warm (indexes in the page cache)", "addresses/s", Median(s.warm))
	b.table.add(c.what()+": looking them up in open indexes alone, on one CPU", "addresses/s", Median(s.index))
	b.table.add(c.what()+", the first time: CPU time", "ms", Median(s.firstCPU))
	b.table.add(c.what()+", warm: CPU time", "ms", Median(s.warmCPU))
	return s, nil
}

func (b *bench) lookupOnce(ctx context.Context, c corpus, dir string, workers int, s *speeds) error {
	var unused []float64
	for _, step := range []struct {
		to, cpu *[]float64
		dropped bool
	}{{&s.first, &s.firstCPU, false}, {&s.fromDisk, &unused, true}, {&s.warm, &s.warmCPU, false}} {
		if step.dropped {
			if err := dropCaches(); err != nil {
				return err
			}
		}
		took, err := nameAll(ctx, c, dir, workers)
		if err != nil {
			return err
		}
		*step.to = append(*step.to, corpusAddresses/took.wall.Seconds())
		*step.cpu = append(*step.cpu, took.cpu.Seconds()*1e3)
	}
	took, err := findAll(ctx, c, dir)
	if err != nil {
		return err
	}
	s.index = append(s.index, corpusAddresses/took.Seconds())
	return nil
}

// openFiles opens mapped files by their paths.
type openFiles struct{}

func (openFiles) Binary(m *profile.Mapping) (io.ReaderAt, int64, error) {
	f, err := os.Open(m.File)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// spent is the time and the CPU time that something took.
type spent struct{ wall, cpu time.Duration }

// cpuUsed is the CPU time of this process.
func cpuUsed() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// nameAll names a profile of all addresses, several binaries at once, from opening the
// first one to writing the last index.
func nameAll(ctx context.Context, c corpus, dir string, workers int) (took spent, err error) {
	p := c.profile()
	runtime.GC() // what was left before is not part of it
	start, before := time.Now(), cpuUsed()
	folder, err := index.OpenFolder(dir, "benchmark", 4<<30)
	if err != nil {
		return spent{}, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	s := symbolizer.New(symbolizer.Config{Binaries: openFiles{}, Indexes: folder, MaxBinaries: corpusBinaries, MaxIndexed: 4_000_000, Workers: workers})
	stats, err := s.Symbolize(ctx, p)
	if err := errors.Join(err, s.Close()); err != nil {
		return spent{}, err
	}
	took = spent{time.Since(start), cpuUsed() - before}
	named := 0
	for _, b := range stats.Binaries {
		named += b.Named
	}
	if named < corpusAddresses*99/100 {
		return spent{}, fmt.Errorf("only %d addresses were named", named)
	}
	return took, nil
}

// findAll looks all addresses up in the indexes that are there, in ascending order, and
// gets every function's name once. Opening the indexes is part of it.
func findAll(ctx context.Context, c corpus, dir string) (took time.Duration, err error) {
	sorted := make([][]uint64, len(c.binaries))
	for i, b := range c.binaries {
		sorted[i] = slices.Sorted(slices.Values(b.addresses))
	}
	runtime.GC()
	found := 0
	start := time.Now()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	byID := map[string][]uint64{}
	for i, b := range c.binaries {
		byID[b.mapping.BuildID] = sorted[i]
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		n, err := findIn(filepath.Join(dir, entry.Name()), byID)
		if err != nil {
			return 0, err
		}
		found += n
	}
	took = time.Since(start)
	if found < corpusAddresses*99/100 {
		return 0, fmt.Errorf("only %d addresses were found in the indexes", found)
	}
	return took, nil
}

func findIn(path string, byID map[string][]uint64) (found int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	x, err := index.Open(file, info.Size())
	if err != nil {
		return 0, err
	}
	names := make([]string, x.Functions())
	var stack []index.Position
	for _, at := range byID[x.BuildID()] {
		node, knowledge, err := x.Find(at)
		if err != nil {
			return 0, err
		}
		if knowledge != index.Known {
			continue
		}
		found++
		if stack, err = x.Stack(node, stack[:0]); err != nil {
			return 0, err
		}
		for _, p := range stack {
			if names[p.Function] == "" {
				f, err := x.Function(p.Function)
				if err != nil {
					return 0, err
				}
				names[p.Function] = f.Name
			}
		}
	}
	return found, nil
}
