package collector

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/alloc"
	"github.com/narrows-profiler/narrows/collector/living"
	"github.com/narrows-profiler/narrows/collector/window"
)

// LiveSites are the places whose memory lives at the end of a recording.
type LiveSites struct {
	// Profile has their stacks: the label "site" is the place in Sites.
	Profile *profile.Profile
	Sites   []LiveSite
}

// LiveSite is a place of a process that allocated what lives at the end. Times are those of Now.
type LiveSite struct {
	PID              uint32
	Process, Service string
	// Go tells that it is of a Go program's own heap, of which Mean bytes on average have one
	// block sampled; else Mean is that of the recording.
	Go   bool
	Mean int64
	// Began and Ended are from when to when the process was followed. Gone tells that it ended
	// then, or ran another program; Cut is why else that was before the end.
	Began, Ended uint64
	Gone         bool
	Cut          error
	Blocks       []LiveBlock
	Past         []living.Reading
}

// LiveBlock is one or more blocks of a size.
type LiveBlock struct {
	Objects float64 // that it stands for
	Size    int64
	Born    uint64 // 0 if nobody knows
}

// livePlace is a stack of a process with probes.
type livePlace struct {
	target uint32
	stack  window.StackID
}

const (
	// liveInterval is how often it is read what lives, less often the longer it goes on.
	liveInterval = 200 * time.Millisecond
	// liveShare is the part of a core's time that reading may take: one in so many.
	liveShare = 50
)

// liveReader reads from time to time what lives.
type liveReader struct {
	watcher *alloc.Watcher
	mean    uint64
	history *living.History[livePlace] // of the goroutine
	stop    context.CancelFunc
	done    sync.WaitGroup
	err     error // of the goroutine
}

func startLiveReader(w *alloc.Watcher) *liveReader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &liveReader{watcher: w, mean: w.Mean(), history: living.New[livePlace](uint64(liveInterval)), stop: cancel}
	r.done.Go(func() { r.run(ctx) })
	return r
}

func (r *liveReader) run(ctx context.Context) {
	runtime.LockOSThread() // whose time is measured; it ends with the goroutine
	ticks := time.NewTicker(liveInterval / 4)
	defer ticks.Stop()
	var next uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		now := accounting.Monotonic()
		if now < next || !r.history.Due(now) {
			continue
		}
		began := threadTime()
		lives := map[livePlace]living.Amount{}
		if r.err = r.watcher.Live(func(b alloc.Block) {
			weight := alloc.Weight(b.Size, r.mean)
			place := livePlace{b.Target, b.Stack}
			lives[place] = lives[place].Plus(living.Amount{Objects: weight, Bytes: weight * float64(b.Size)})
		}); r.err != nil {
			return
		}
		r.history.Add(now, lives)
		next = now + liveShare*(threadTime()-began)
	}
}

// threadTime is the CPU time that this thread took so far, in ns.
func threadTime() uint64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // fails only for a bad pointer
	return uint64(t.Nano())
}

// end ends the reading; it may be called again.
func (r *liveReader) end() error {
	r.stop()
	r.done.Wait()
	return r.err
}

// liveBlocks is what was never freed, at the end.
type liveBlocks struct {
	blocks  []alloc.Block
	history *living.History[livePlace]
	targets map[uint32]alloc.Target // by number
}

// readLive reads what lives at the end.
func (a *allocs) readLive() (liveBlocks, error) {
	live := liveBlocks{history: a.reader.history, targets: map[uint32]alloc.Target{}}
	err := a.watcher.Live(func(b alloc.Block) { live.blocks = append(live.blocks, b) })
	for _, t := range a.watcher.Targets() {
		if t.Began != 0 {
			live.targets[t.Number] = t
		}
	}
	return live, err
}

// sites gathers the places of what lives.
type sites struct {
	builder *window.Builder
	all     []LiveSite
}

func newSites() *sites {
	return &sites{builder: window.NewBuilder(window.Period{}, &profile.ValueType{Type: "inuse_objects", Unit: "count"})}
}

// add adds a place with its stack.
func (s *sites) add(site LiveSite, labels window.Labels, stack []window.Frame) {
	site.PID, site.Process, site.Service = labels.PID, labels.Process, labels.Service
	s.all = append(s.all, site)
	objects := 0.0
	for _, b := range site.Blocks {
		objects += b.Objects
	}
	s.builder.Add(window.Labels{PID: labels.PID, TID: labels.PID, Site: int64(len(s.all))}, stack, int64(math.Round(objects)))
}

// given gives out all places; nil if there is none.
func (s *sites) given(start time.Time, duration time.Duration) *LiveSites {
	if len(s.all) == 0 {
		return nil
	}
	return &LiveSites{s.builder.Profile(start, duration), s.all}
}

// live adds to the window what was never freed, and tells of its places.
func (r *replayer) live(live liveBlocks) {
	if r.opened == nil {
		return
	}
	places := map[livePlace][]LiveBlock{}
	of := map[livePlace]window.Labels{}
	for _, b := range live.blocks {
		labels, ok := r.heap.threads[heapThread{b.Target, b.TID}]
		if !ok {
			labels = window.Labels{PID: b.PID, TID: b.TID}
		}
		r.heap.add(labels, b.Stack, b.Size, 2)
		place := livePlace{b.Target, b.Stack}
		places[place] = append(places[place], LiveBlock{alloc.Weight(b.Size, r.heap.mean), int64(b.Size), b.Time})
		if ok || of[place].PID == 0 {
			of[place] = labels
		}
	}
	for place, blocks := range places {
		t := live.targets[place.target]
		site := LiveSite{Mean: int64(r.heap.mean), Began: t.Began, Ended: t.Ended, Blocks: blocks, Past: live.history.Of(place)}
		if site.Gone = errors.Is(t.Detached, alloc.ErrGone); !site.Gone {
			site.Cut = t.Detached
		}
		r.heap.sites.add(site, of[place], r.heap.stack(place.stack).Frames)
	}
}
