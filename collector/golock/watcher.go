package golock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/inbox"
	"github.com/narrows-profiler/narrows/collector/process"
)

// Backend is the kind of hook in use.
const Backend = "uprobes at " + parkFunction + ", " + readyFunction

// Watcher is the programs, and the processes that have probes.
type Watcher struct {
	objects bpf.GoLockObjects
	limit   Limit

	requests *inbox.Inbox[request]
	stop     context.CancelFunc
	done     sync.WaitGroup

	programs map[*process.Binary]*program // nil for what is no Go program; of the goroutine

	mu       sync.Mutex
	targets  map[uint32]*Target // by PID, those with probes
	numbered []*Target          // all there were
	refused  []*Target          // those that could have none
	failures []error
}

// request is a process to attach to, or to let go of if it has no mappings.
type request struct {
	pid      uint32
	mappings []process.Mapping
	tries    int // that failed
}

// maxRequests bounds the processes that wait for their probes.
const maxRequests = 4096

// Open loads the programs; nothing is probed yet. It needs CAP_BPF and CAP_PERFMON.
func Open(c *core.Core, limit Limit) (*Watcher, error) {
	w := &Watcher{
		limit: limit, requests: inbox.New[request](maxRequests), stop: func() {},
		programs: map[*process.Binary]*program{}, targets: map[uint32]*Target{},
	}
	spec, err := bpf.LoadGoLock()
	if err != nil {
		return nil, err
	}
	if err := c.LoadAndAssign(spec, &w.objects); err != nil {
		return nil, fmt.Errorf("watching goroutines: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

// Attach sets probes in a process with these mappings, soon, if it runs a Go program. It
// never waits.
func (w *Watcher) Attach(pid uint32, mappings []process.Mapping) {
	if len(mappings) > 0 {
		w.requests.Put(request{pid: pid, mappings: mappings})
	}
}

// Detach takes the probes away from a process that has ended or runs another program now.
func (w *Watcher) Detach(pid uint32) { w.requests.Put(request{pid: pid}) }

func (w *Watcher) run(ctx context.Context) {
	ticks := time.NewTicker(checkInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-w.requests.Requests():
			if len(r.mappings) == 0 {
				w.detach(r.pid, ErrGone)
				continue
			}
			for _, b := range executables(r.mappings) {
				w.attach(r, b)
			}
		case <-ticks.C:
			w.check(time.Now())
		}
	}
}

// executables are the files behind mappings.
func executables(mappings []process.Mapping) []*process.Binary {
	found := map[*process.Binary]bool{}
	for _, m := range mappings {
		if m.Binary != nil && !m.Binary.Anonymous() {
			found[m.Binary] = true
		}
	}
	return slices.Collect(maps.Keys(found))
}

// attach probes a process that runs the program, if it is one of Go.
func (w *Watcher) attach(r request, b *process.Binary) {
	pid := r.pid
	p, known := w.programs[b]
	if !known {
		var err error
		if p, err = newProgram(b); err != nil && !errors.Is(err, errNotGo) {
			if _, openErr := b.File(); openErr == nil {
				w.refuse(&Target{PID: pid, Path: b.Path, Detached: err})
			}
		}
		w.programs[b] = p
	}
	if p == nil {
		return
	}
	m, ok := p.mapped(r.mappings)
	w.mu.Lock()
	before := w.targets[pid]
	w.mu.Unlock()
	if !ok || before != nil && before.runs(p, m) {
		return
	}
	if before != nil {
		w.detach(pid, ErrGone)
	}
	t := &Target{PID: pid, Path: b.Path, program: p, start: m.Start, Park: p.park.site.String(), Ready: p.ready.site.String()}
	switch err := w.probe(t, p.bias(m)); {
	case errors.Is(err, errNoReasons) && r.tries < relocationTries:
		r.tries++
		time.AfterFunc(relocationDelay, func() { w.requests.Put(r) })
	case err != nil:
		t.Detached = err
		w.refuse(t)
	}
}

// probe makes a target of the process; an error says why it is none.
func (w *Watcher) probe(t *Target, bias uint64) error {
	w.mu.Lock()
	t.number = uint32(len(w.numbered))
	w.mu.Unlock()
	var err error
	if t.number >= maxTargets {
		err = errTooMany
	} else if t.reasons, err = readKinds(t.PID, t.program, bias); err == nil {
		err = t.describe(&w.objects, bias)
	}
	if err != nil {
		return err
	}
	// Its waits may arrive before attach returns.
	w.mu.Lock()
	w.numbered = append(w.numbered, t)
	w.mu.Unlock()
	if err = t.attach(&w.objects); err != nil {
		w.mu.Lock()
		t.Detached = err
		w.mu.Unlock()
		w.fail(t.detach())
		return nil
	}
	t.began = time.Now()
	t.measured = w.measure(t, t.began)
	w.mu.Lock()
	w.targets[t.PID], t.Probed = t, true
	w.mu.Unlock()
	return nil
}

func (w *Watcher) refuse(t *Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.refused) < maxTargets {
		w.refused = append(w.refused, t)
	}
}

// detach takes a process's probes away, and forgets which of its goroutines wait.
func (w *Watcher) detach(pid uint32, reason error) {
	w.mu.Lock()
	t := w.targets[pid]
	delete(w.targets, pid)
	w.mu.Unlock()
	if t == nil {
		return
	}
	w.count(t)
	err := t.detach()
	w.mu.Lock()
	t.Detached = reason
	w.mu.Unlock()
	w.fail(errors.Join(err, w.forget(t)))
}

// forget removes the process's goroutines from those that wait.
func (w *Watcher) forget(t *Target) error {
	var key bpf.GoLockGoroutine
	var value bpf.GoLockParked
	var of []bpf.GoLockGoroutine
	for entries := w.objects.GoParked.Iterate(); entries.Next(&key, &value); {
		if key.Target == t.number {
			of = append(of, key)
		}
	}
	for _, key := range of {
		if err := w.objects.GoParked.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forgetting a goroutine of process %d: %w", t.PID, err)
		}
	}
	return nil
}

func (w *Watcher) fail(err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, err)
}

// Stop takes all probes away; what is in the ring buffer stays.
func (w *Watcher) Stop() error {
	w.stop()
	w.done.Wait()
	w.mu.Lock()
	targets := slices.Collect(maps.Values(w.targets))
	w.mu.Unlock()
	for _, t := range targets {
		w.count(t)
		w.fail(t.detach())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.targets)
	return errors.Join(w.failures...)
}

// Close detaches and frees everything.
func (w *Watcher) Close() error { return errors.Join(w.Stop(), w.objects.Close()) }

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
	return core.Cost(w.objects.GoPark, w.objects.GoReady)
}

// Dropped is how many processes got no probes because too many waited for them.
func (w *Watcher) Dropped() uint64 { return w.requests.Dropped() }

// target is the one with a number, nil if there is none.
func (w *Watcher) target(number uint32) *Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int(number) >= len(w.numbered) {
		return nil
	}
	return w.numbered[number]
}
