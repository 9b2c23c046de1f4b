// Package recording joins the stages behind the commands that profile: a collector
// gives out windows without names, the symbolizer names them while the processes
// are still there to ask, and a sink keeps them.
package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/symbolizer"
	"github.com/narrows-profiler/narrows/symbolizer/debuginfod"
	"github.com/narrows-profiler/narrows/symbolizer/index"
	"github.com/narrows-profiler/narrows/symbolizer/kallsyms"
)

// Sink keeps each window, whose profiles are named, in order. Its error ends the
// recording.
type Sink interface {
	Window(ctx context.Context, window collector.Window) error
}

// Recording is a recording under way.
type Recording struct {
	collector  *collector.Collector
	symbolizer *symbolizer.Symbolizer
	servers    *debuginfod.Client // nil if none may be asked
	sink       Sink
	summary    summary
	indexes    *index.Folder // nil if there is none
	consumer   sync.WaitGroup
	failed     chan struct{}
	failure    error // readable once failed is closed or the consumer is done
}

// WithIndexes has a recording name by indexes of binaries from the folder that open
// opens, and keep them there. A folder that cannot be opened becomes a warning; open
// may return nil for none.
func WithIndexes(open func() (*index.Folder, error)) Option {
	return func(r *Recording) {
		var err error
		if r.indexes, err = open(); err != nil {
			r.summary.warn(fmt.Sprintf("what is read of binaries is not kept for the next time: %v", err))
		}
	}
}

// Start begins a recording whose windows go to the sink. ctx bounds the work on
// the windows, not the recording: end that with Stop.
func Start(ctx context.Context, config collector.Config, sink Sink, options ...Option) (*Recording, error) {
	var before syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return nil, fmt.Errorf("starting the recording: asking for the time used so far: %w", err)
	}
	r := &Recording{sink: sink, failed: make(chan struct{}), summary: newSummary(before)}
	for _, apply := range options {
		apply(r)
	}
	kernel, err := kernelSymbols()
	if err != nil {
		r.summary.warn(fmt.Sprintf("kernel functions have no names: %v", err))
	} else {
		config.Kernel = kernel
	}
	c, err := collector.Start(config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the recording: %w", err), r.closeServers())
	}
	r.collector = c
	debug := debugFiles{ctx, c, r.servers}
	r.symbolizer = symbolizer.New(symbolizer.Config{
		Binaries: mapped{c}, DebugFiles: debug, Supplements: debug, Kernel: kernel, Indexes: r.indexes,
		MaxMemory: maxNames, MaxIndexed: maxIndexed,
	})
	r.consumer.Go(func() { r.consume(ctx) })
	return r, nil
}

// maxNames bounds what is kept of binaries between windows, in bytes: indexes bring it
// back soon.
const maxNames = 8 << 20

// maxIndexed bounds the pieces of code that a binary may have to be indexed while
// recording: of larger ones only what was asked for is kept for the next time.
const maxIndexed = 60_000

// Collector is where marks, services and selections go.
func (r *Recording) Collector() *collector.Collector { return r.collector }

// Failed is closed when a window could not be kept: there is no use in going on.
func (r *Recording) Failed() <-chan struct{} { return r.failed }

func (r *Recording) consume(ctx context.Context) {
	for window := range r.collector.Windows() {
		if r.failure != nil {
			continue // Stop must still be able to deliver the last window
		}
		if err := r.window(ctx, window); err != nil {
			r.failure = err
			close(r.failed)
		}
	}
}

func (r *Recording) window(ctx context.Context, window collector.Window) error {
	for _, signal := range slices.Sorted(maps.Keys(window.Profiles)) {
		symbols, err := r.symbolizer.Symbolize(ctx, window.Profiles[signal])
		if err != nil {
			return fmt.Errorf("naming %s of window %d: %w", signal, window.Index, err)
		}
		r.summary.named(symbols)
	}
	if err := r.nameLive(ctx, window); err != nil {
		return err
	}
	r.summary.window(window)
	if p := window.Profiles[collector.Alloc]; p != nil {
		if err := r.summary.memory.Add(p); err != nil {
			return fmt.Errorf("adding up the allocations of window %d: %w", window.Index, err)
		}
	}
	if p := window.Profiles[collector.KernelAlloc]; p != nil {
		if err := r.summary.kernel.Add(p); err != nil {
			return fmt.Errorf("adding up the kernel's allocations of window %d: %w", window.Index, err)
		}
	}
	if err := r.sink.Window(ctx, window); err != nil {
		return fmt.Errorf("keeping window %d: %w", window.Index, err)
	}
	return nil
}

// Stop ends the recording, detaches everything and says how it went. The summary
// holds whatever is known even when there is an error.
func (r *Recording) Stop() (session.Summary, error) {
	report, err := r.collector.Stop()
	r.consumer.Wait()
	r.summary.report(report)
	err = errors.Join(err, r.failure, r.symbolizer.Close(), r.collector.Close(), r.closeServers())
	if r.indexes != nil {
		err = errors.Join(err, r.indexes.Close())
	}
	r.summary.cost(report)
	return r.summary.Summary, err
}

func (r *Recording) closeServers() error {
	if r.servers == nil {
		return nil
	}
	return r.servers.Close()
}

// kernelSymbols reads the names of the running kernel's functions.
func kernelSymbols() (*kallsyms.Table, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return kallsyms.Parse(f)
}

// mapped gives the symbolizer the files the collector holds open.
type mapped struct{ collector *collector.Collector }

func (m mapped) Binary(mapping *profile.Mapping) (io.ReaderAt, int64, error) {
	return m.collector.Binary(mapping)
}
