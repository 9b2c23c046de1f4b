package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	// listsChildren tells whether this kernel says what a process's children are
	// (CONFIG_PROC_CHILDREN).
	listsChildren bool
	stop          chan struct{}
	done          sync.WaitGroup

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
	_, err = os.Stat("/proc/thread-self/children")
	w := &MemoryWatch{pid: pid, started: stat.Starttime, fs: fs, listsChildren: err == nil, stop: make(chan struct{})}
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
	tree, err := w.tree()
	if err != nil {
		w.err = err
		return
	}
	var sum uint64
	for _, pid := range tree {
		process, err := w.fs.Proc(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		if status, err := process.NewStatus(); err == nil {
			sum += status.VmHWM
		}
	}
	w.peak = max(w.peak, sum)
}

// tree lists the process, which has to be there still, and its descendants.
func (w *MemoryWatch) tree() ([]int, error) {
	process, err := w.fs.Proc(w.pid)
	if err != nil {
		return nil, errors.New("it ended meanwhile")
	}
	stat, err := process.Stat()
	if err != nil {
		return nil, errors.New("it ended meanwhile")
	}
	if stat.Starttime != w.started {
		return nil, errors.New("it ended, and its number was given to another process")
	}
	if w.listsChildren {
		return descendants(w.pid), nil
	}
	return w.among()
}

// descendants follows the lists of children, so that what it takes depends on the tree
// and not on how many processes the host has. A circle cannot be, but the lists are not
// read at one instant.
func descendants(root int) []int {
	const most = 10_000
	tree, seen := []int{root}, map[int]bool{root: true}
	for i := 0; i < len(tree) && len(tree) < most; i++ {
		for _, pid := range childrenOf(tree[i]) {
			if !seen[pid] {
				seen[pid] = true
				tree = append(tree, pid)
			}
		}
	}
	return tree
}

// childrenOf are the children of all threads of a process, none if it has ended.
func childrenOf(pid int) (children []int) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	for _, list := range threads {
		content, err := os.ReadFile(list)
		if err != nil {
			continue // the thread ended meanwhile
		}
		for field := range strings.FieldsSeq(string(content)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// among finds the tree among all processes.
func (w *MemoryWatch) among() (tree []int, err error) {
	processes, err := w.fs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("listing the processes: %w", err)
	}
	parents := make(map[int]int, len(processes))
	for _, process := range processes {
		if stat, err := process.Stat(); err == nil { // else it ended meanwhile, or is hidden
			parents[process.PID] = stat.PPID
		}
	}
	for pid := range parents {
		if descends(pid, w.pid, parents) {
			tree = append(tree, pid)
		}
	}
	return tree, nil
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
