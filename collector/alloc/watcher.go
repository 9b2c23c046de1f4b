package alloc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/inbox"
	"github.com/narrows-profiler/narrows/collector/process"
)

// objects are the programs that every kernel has, and the maps.
type objects struct {
	bpf.AllocMaps
	ReadBlocks *ebpf.Program `ebpf:"read_blocks"`
	Enter      *ebpf.Program `ebpf:"alloc_enter"`
	Leave      *ebpf.Program `ebpf:"alloc_leave"`
}

// Watcher is the programs, and the processes that have probes.
type Watcher struct {
	objects objects
	session *ebpf.Program // nil where the kernel has no uprobe sessions
	mean    uint64
	limit   Limit
	scan    func(pid uint32) (process.Scanned, bool)
	backend string

	requests *inbox.Inbox[request]
	stop     context.CancelFunc
	done     sync.WaitGroup

	known  map[*process.Binary]looked // of the goroutine
	looked map[uint32]*Target         // processes in which nothing was found yet; the same
	forked map[uint32]time.Time       // children that run their parent's program still; the same

	mu       sync.Mutex
	targets  map[uint32]*Target // by PID, those with probes
	numbered []*Target          // all there were
	refused  []*Target          // those that could have none
	failures []error
}

// looked is what was found in a file.
type looked struct {
	allocator *allocator // nil if it defines none
	isGo      bool
}

// request is a process to attach to, or to let go of if it has no mappings.
type request struct {
	pid      uint32
	mappings []process.Mapping
	replaced bool // by another program
	forked   bool // just now
}

// maxRequests bounds the processes that wait for their probes.
const maxRequests = 4096

// MaxMean is the largest mean distance between two points, in bytes.
const MaxMean = 1 << 32 // MAX_MEAN of bpf/exponential.h

// Open loads the programs; nothing is probed yet. An allocation is taken for each mean bytes,
// on average; all are if that is 1. scan reads the mappings of a process. It needs CAP_BPF and
// CAP_PERFMON.
func Open(c *core.Core, mean uint64, limit Limit, scan func(pid uint32) (process.Scanned, bool)) (*Watcher, error) {
	return open(c, mean, limit, scan, true)
}

// open is Open, on request without uprobe sessions, as on older kernels.
func open(c *core.Core, mean uint64, limit Limit, scan func(pid uint32) (process.Scanned, bool), sessions bool) (*Watcher, error) {
	if mean < 1 || mean > MaxMean {
		return nil, fmt.Errorf("an allocation taken for each %d bytes: use 1 to %d", mean, uint64(MaxMean))
	}
	w := &Watcher{
		mean: mean, limit: limit, scan: scan, forked: map[uint32]time.Time{}, requests: inbox.New[request](maxRequests), stop: func() {},
		known: map[*process.Binary]looked{}, looked: map[uint32]*Target{}, targets: map[uint32]*Target{},
	}
	if err := w.load(c, sessions); err != nil {
		return nil, fmt.Errorf("watching allocations: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

// load loads what this kernel takes.
func (w *Watcher) load(c *core.Core, sessions bool) error {
	why := errNoSession
	if sessions {
		spec, err := w.spec()
		if err != nil {
			return err
		}
		var with struct {
			objects
			Session *ebpf.Program `ebpf:"alloc_session"`
		}
		if why = c.LoadAndAssign(spec, &with); why == nil {
			w.objects, w.session, w.backend = with.objects, with.Session, "uprobe.session"
			return nil
		}
	}
	spec, err := w.spec()
	if err != nil {
		return err
	}
	delete(spec.Programs, "alloc_session")
	if err := c.LoadAndAssign(spec, &w.objects); err != nil {
		return errors.Join(err, why)
	}
	w.backend = "uprobes and uretprobes"
	return nil
}

// spec is the programs with their settings.
func (w *Watcher) spec() (*ebpf.CollectionSpec, error) {
	spec, err := bpf.LoadAlloc()
	if err != nil {
		return nil, err
	}
	return spec, errors.Join(spec.Variables["mean_bytes"].Set(w.mean), spec.Variables["log_table"].Set(LogTable()))
}

// LogTable is the logarithms that bpf/exponential.h goes by.
func LogTable() (table [257]uint32) {
	for i := range table {
		table[i] = uint32(math.Round(math.Log1p(float64(i)/256) * (1 << 24)))
	}
	return table
}

// Backend is the kind of hook in use.
func (w *Watcher) Backend() string { return w.backend }

// Mean is how many bytes lie between two points on average.
func (w *Watcher) Mean() uint64 { return w.mean }

// Attach sets probes in a process with these mappings, soon, as far as they are of allocators.
// It never waits.
func (w *Watcher) Attach(pid uint32, mappings []process.Mapping) {
	if len(mappings) > 0 {
		w.requests.Put(request{pid: pid, mappings: mappings})
	}
}

// Detach takes the probes away from a process that has ended.
func (w *Watcher) Detach(pid uint32) { w.requests.Put(request{pid: pid}) }

// Replace takes the probes away from a process in which another program begins, and forgets
// what the one before had allocated.
func (w *Watcher) Replace(pid uint32) { w.requests.Put(request{pid: pid, replaced: true}) }

// Forked is told of a child. It is probed if it does not run a program of its own soon: most
// do, and probes for so short a time would cost more than they tell.
func (w *Watcher) Forked(pid uint32) { w.requests.Put(request{pid: pid, forked: true}) }

func (w *Watcher) run(ctx context.Context) {
	ticks := time.NewTicker(checkInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-w.requests.Requests():
			switch {
			case r.forked:
				w.forked[r.pid] = time.Now()
			case len(r.mappings) > 0:
				w.lookAt(r.pid, r.mappings)
			default:
				w.detach(r.pid, r.replaced, ErrGone)
				delete(w.looked, r.pid)
				delete(w.forked, r.pid)
			}
		case <-ticks.C:
			w.check(time.Now())
			w.lookAtForked(time.Now())
		}
	}
}

// lookAtForked looks at children that go on with their parent's program.
func (w *Watcher) lookAtForked(now time.Time) {
	for pid, since := range w.forked {
		if now.Sub(since) < checkInterval {
			continue
		}
		delete(w.forked, pid)
		if scanned, ok := w.scan(pid); ok && len(scanned.Mappings) > 0 {
			w.lookAt(pid, scanned.Mappings)
		}
	}
}

func (w *Watcher) fail(err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, err)
}

// Stop takes all probes away; what is in the ring buffer, and what lives, stays.
func (w *Watcher) Stop() error {
	w.stop()
	w.done.Wait()
	stopped := accounting.Monotonic()
	w.mu.Lock()
	targets := slices.Collect(maps.Values(w.targets))
	w.mu.Unlock()
	for _, t := range targets {
		if t.Detached == nil {
			w.count(t)
			w.fail(t.detach())
			w.mu.Lock()
			t.Ended = stopped // for all: taking probes away takes its time
			w.mu.Unlock()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.looked {
		if t.Detached == nil {
			t.Detached = ErrNoAllocator
			if t.Go {
				t.Detached = ErrGo
			}
		}
		w.refused = append(w.refused, t)
	}
	clear(w.looked)
	clear(w.targets)
	return errors.Join(w.failures...)
}

// Close detaches and frees everything.
func (w *Watcher) Close() error {
	err := errors.Join(w.Stop(), w.objects.AllocMaps.Close(), w.objects.ReadBlocks.Close(), w.objects.Enter.Close(), w.objects.Leave.Close())
	if w.session != nil {
		err = errors.Join(err, w.session.Close())
	}
	return err
}

// Targets are the processes that have or had probes, and those that could not have any.
func (w *Watcher) Targets() []Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Target
	for _, t := range slices.Concat(w.numbered, w.refused) {
		all = append(all, t.copied())
	}
	return all
}

// Cost is what the programs took so far; it is counted only while BPF statistics are on
// (ebpf.EnableStats).
func (w *Watcher) Cost() (runs uint64, spent time.Duration, err error) {
	if w.session != nil {
		return core.Cost(w.session)
	}
	return core.Cost(w.objects.Enter, w.objects.Leave)
}

// Dropped is how many processes got no probes because too many waited for them.
func (w *Watcher) Dropped() uint64 { return w.requests.Dropped() }
