package service

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/procfs"
)

// memoryInterval is the time between two looks at a process tree. The kernel
// keeps each process's own peak, so only a child that begins and ends between
// two looks is missed.
const memoryInterval = 2 * time.Second

// MemoryWatch follows the memory of a process and its descendants.
type MemoryWatch struct {
	pid     int
	started uint64
	fs      procfs.FS
	stop    chan struct{}
	done    sync.WaitGroup

	peak uint64
	err  error
}

// WatchMemory begins to follow the tree of a process.
func WatchMemory(pid int) (*MemoryWatch, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, fmt.Errorf("opening /proc: %w", err)
	}
	process, err := fs.Proc(pid)
	if err != nil {
		return nil, fmt.Errorf("watching the memory of process %d: %w", pid, err)
	}
	stat, err := process.Stat()
	if err != nil {
		return nil, fmt.Errorf("watching the memory of process %d: %w", pid, err)
	}
	w := &MemoryWatch{pid: pid, started: stat.Starttime, fs: fs, stop: make(chan struct{})}
	w.look()
	w.done.Go(w.follow)
	return w, nil
}

func (w *MemoryWatch) follow() {
	ticks := time.NewTicker(memoryInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			w.look()
		case <-w.stop:
			return
		}
	}
}

// Stop takes a last look and returns the greatest sum of the VmHWM (the peak
// resident set since each process's start, proc_pid_status(5)) of the processes
// that lived together, in bytes. That is exact for one process, and an upper
// bound for several, whose peaks may have come at different times.
func (w *MemoryWatch) Stop() (uint64, error) {
	close(w.stop)
	w.done.Wait()
	w.look()
	if w.peak == 0 && w.err == nil {
		w.err = errors.New("the kernel gives no VmHWM for it")
	}
	if w.err != nil {
		return 0, fmt.Errorf("watching the memory of process %d: %w", w.pid, w.err)
	}
	return w.peak, nil
}

// look adds up the tree once.
func (w *MemoryWatch) look() {
	if w.err != nil {
		return
	}
	processes, err := w.fs.AllProcs()
	if err != nil {
		w.err = fmt.Errorf("listing the processes: %w", err)
		return
	}
	parents := make(map[int]int, len(processes))
	for _, process := range processes {
		stat, err := process.Stat()
		if err != nil {
			continue // it ended meanwhile, or is hidden
		}
		if process.PID == w.pid && stat.Starttime != w.started {
			w.err = errors.New("it ended, and its number was given to another process")
			return
		}
		parents[process.PID] = stat.PPID
	}
	if _, alive := parents[w.pid]; !alive {
		w.err = errors.New("it ended meanwhile")
		return
	}
	var sum uint64
	for _, process := range processes {
		if !descends(process.PID, w.pid, parents) {
			continue
		}
		if status, err := process.NewStatus(); err == nil {
			sum += status.VmHWM
		}
	}
	w.peak = max(w.peak, sum)
}

// descends reports whether pid is ancestor or one of its descendants. The walk
// is bounded, as the table is not read at one instant and could hold a circle.
func descends(pid, ancestor int, parents map[int]int) bool {
	for range 64 {
		if pid == ancestor {
			return true
		}
		parent, known := parents[pid]
		if !known {
			return false
		}
		pid = parent
	}
	return false
}
