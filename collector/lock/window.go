package lock

import (
	"math"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/window"
)

// maxEdges and maxLocks bound a window's tables. What finds no room is counted in one
// place for all, so that sums stay right.
const (
	maxEdges = 20_000
	maxLocks = 20_000
)

// Others is the ID of what stands for the locks that found no room in the table.
const Others = "others"

// Window gathers the contention of one window. It is used by one goroutine.
type Window struct {
	Locks map[string]*Lock
	Edges map[EdgeKey]*Edge

	wait, blame, held *window.Builder
	waits, blames     remainder
	counted           map[string]*counted
	holdings          map[holding]*spent
}

// NewWindow begins a window.
func NewWindow() *Window {
	contentions := func() *window.Builder {
		count := &profile.ValueType{Type: "contentions", Unit: "count"}
		return window.NewBuilder(window.Period{Type: count, Value: 1}, count, &profile.ValueType{Type: "delay", Unit: "nanoseconds"})
	}
	blame := &profile.ValueType{Type: "blame", Unit: "nanoseconds"}
	return &Window{
		Locks: map[string]*Lock{}, Edges: map[EdgeKey]*Edge{},
		wait: contentions(), blame: contentions(),
		held:    window.NewBuilder(window.Period{Type: blame, Value: 1}, blame),
		counted: map[string]*counted{}, holdings: map[holding]*spent{},
	}
}

// Lock is the lock's place in the table.
func (w *Window) Lock(id Identity) *Lock {
	l := w.Locks[id.ID]
	if l == nil && len(w.Locks) >= maxLocks {
		id = Identity{ID: Others, Kind: "several"}
		l = w.Locks[Others]
	}
	if l == nil {
		l = &Lock{Identity: id, Waiters: map[uint32]struct{}{}}
		w.Locks[id.ID] = l
	}
	return l
}

// Add adds a wait for a lock, or a part of one, and charges it to the holder.
func (w *Window) Add(c Contention) {
	w.AddWait(c)
	if c.Holder != (Thread{}) || c.ReleaseStack != nil {
		w.Blame(c)
	}
}

// AddWait adds a wait as the waiter sees it.
func (w *Window) AddWait(c Contention) {
	l := w.Lock(c.Lock)
	l.Process, l.Service = c.Waiter.Process, c.Waiter.Service
	l.Total += c.Weight * float64(c.Length)
	if !c.Continued {
		l.Waits += c.Weight
		l.Lengths.Add(max(c.Length, c.Of), c.Weight)
		l.Outcomes[c.Outcome] += c.Weight
	}
	l.Waiters[c.Waiter.TID] = struct{}{}
	acquisitions := 0.0
	if c.First {
		acquisitions = c.Weight
		l.Acquisitions += c.Weight
	}
	labels := c.Waiter.labels()
	labels.Benchmark, labels.Phase, labels.State = c.Benchmark, c.Phase, c.State
	labels.Lock, labels.LockKind, labels.Owner, labels.Unwind = l.ID, l.Kind, c.Holder.TID, c.Unwind
	delay := int64(math.Round(c.Weight * float64(c.Length)))
	w.wait.Add(labels, c.Stack, w.waits.whole(acquisitions), delay)
	w.Edge(EdgeKey{Waiter: c.Waiter, Holder: c.Holder, State: c.State, Lock: l.ID, Benchmark: c.Benchmark, Phase: c.Phase}, c.Length, c.Weight)
}

// Blame charges a wait, or a part of one, to who let the lock go.
func (w *Window) Blame(c Contention) {
	l := w.Lock(c.Lock)
	labels := c.Holder.labels()
	labels.Benchmark, labels.Phase = c.Benchmark, c.Phase
	labels.Lock, labels.LockKind, labels.Unwind = l.ID, l.Kind, c.ReleaseUnwind
	acquisitions := 0.0
	if c.First {
		acquisitions = c.Weight
	}
	w.blame.Add(labels, c.ReleaseStack, w.blames.whole(acquisitions), int64(math.Round(c.Weight*float64(c.Length))))
}

// Edge adds a wait of one thread for another.
func (w *Window) Edge(key EdgeKey, length uint64, weight float64) {
	e := w.Edges[key]
	if e == nil && len(w.Edges) >= maxEdges {
		key = EdgeKey{State: key.State}
		e = w.Edges[key]
	}
	if e == nil {
		e = &Edge{}
		w.Edges[key] = e
	}
	e.Waits += weight
	e.Total += weight * float64(length)
	e.Longest = max(e.Longest, length)
}

// Held adds what the holder of a lock did for some time while others waited: ns is that
// time as often as threads waited.
func (w *Window) Held(id Identity, labels window.Labels, stack []window.Frame, ns float64) {
	l := w.Lock(id)
	labels.Lock, labels.LockKind = l.ID, l.Kind
	w.held.Add(labels, stack, int64(math.Round(ns)))
	if h := w.holdings[holdingOf(labels)]; h != nil {
		h.told += ns
	}
}

// Frames is the number of frames that the distinct stacks have together.
func (w *Window) Frames() int { return w.wait.Frames() + w.blame.Frames() + w.held.Frames() }

// Profiles gives out what was gathered: the stacks that waited, those that let go, and what
// holders did. It is called once.
func (w *Window) Profiles(start time.Time, duration time.Duration) (wait, blame, held *profile.Profile) {
	w.balance()
	w.scale()
	return w.wait.Profile(start, duration), w.blame.Profile(start, duration), w.held.Profile(start, duration)
}

// labels are those of samples of the thread.
func (t Thread) labels() window.Labels {
	return window.Labels{Service: t.Service, Process: t.Process, Thread: t.Name, Container: t.Container, PID: t.PID, TID: t.TID}
}

// remainder makes whole numbers of weights, which add up to the weights' sum.
type remainder float64

func (r *remainder) whole(weight float64) int64 {
	sum := float64(*r) + weight
	n := math.Floor(sum)
	*r = remainder(sum - n)
	return int64(n)
}
