package collector

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/collector/cgroup"
)

// cgroupInterval is how often it is looked who has entered a cgroup. No event tells of that.
const cgroupInterval = 250 * time.Millisecond

// cgroupReader tells of the processes in cgroups, those that enter them later too.
type cgroupReader struct {
	stop context.CancelFunc
	done sync.WaitGroup
	err  error // of the goroutine
}

// startCgroupReader has entered called for each process, again and again. Before it returns that
// was done for those that are there.
func startCgroupReader(folders []string, entered func(pid uint32)) *cgroupReader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &cgroupReader{stop: cancel}
	if len(folders) == 0 {
		return r
	}
	r.read(folders, entered)
	r.done.Go(func() {
		ticks := time.NewTicker(cgroupInterval)
		defer ticks.Stop()
		for r.err == nil {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				r.read(folders, entered)
			}
		}
	})
	return r
}

func (r *cgroupReader) read(folders []string, entered func(pid uint32)) {
	for _, folder := range folders {
		pids, err := cgroup.Processes(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be removed while it is recorded
			r.err = err
		}
		for _, pid := range pids {
			entered(pid)
		}
	}
}

// end ends it; it may be called again, and of nil.
func (r *cgroupReader) end() error {
	if r == nil {
		return nil
	}
	r.stop()
	r.done.Wait()
	return r.err
}
