package generator

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// orders are what a generator is told, whose input then stays open.
func orders(t *testing.T, all ...order) (*io.PipeReader, *io.PipeWriter) {
	t.Helper()
	var told bytes.Buffer
	encoder := gob.NewEncoder(&told)
	for _, o := range all {
		if err := encoder.Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	in, input := io.Pipe()
	go func() { _, _ = input.Write(told.Bytes()) }()
	return in, input
}

func jobOf(iterations int) order {
	return order{Job: &job{Name: "X", Options: load.Options{Iterations: iterations}}}
}

// only finds one benchmark.
func only(b load.Benchmark) func(string) (load.Benchmark, error) {
	return func(string) (load.Benchmark, error) { return b, nil }
}

// A load whose reader reads nothing comes to its end all the same, and the reader then
// finds everything.
func TestASlowReaderDoesNotHoldTheLoadBack(t *testing.T) {
	const n = 20_000
	in, input := orders(t, jobOf(n))
	output, out := io.Pipe() // it holds nothing itself
	finished := make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- Serve(t.Context(), in, out, only(func(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
			defer close(finished)
			return tells(ctx, a)
		}))
	}()
	<-finished
	requests := 0
	heard := hearing{mark: func(string, metrics.Instant) {}, assignment: load.Assignment{
		Progress: func(int, int) {},
		Record: func(r metrics.Request) error {
			if r.Index != requests {
				t.Fatalf("request %d in place %d", r.Index, requests)
			}
			requests++
			return nil
		},
	}}
	if err := heard.listen(output); err != nil || requests != n || !heard.ended {
		t.Errorf("%v after %d requests, the benchmark's end heard: %v", err, requests, heard.ended)
	}
	input.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// What waits for a reader is bounded.
func TestTheOutboxIsBounded(t *testing.T) {
	const most, n = 1000, 100
	output, out := io.Pipe()
	b := newOutbox(out, most)
	greatest := 0
	over := make(chan error, 1)
	go func() {
		for i := range n {
			r := truth(2 * i)
			if err := b.put(report{Request: &r}); err != nil {
				over <- err
				return
			}
			b.mutex.Lock()
			greatest = max(greatest, b.waiting.Len())
			b.mutex.Unlock()
		}
		over <- errors.Join(b.close(), out.Close())
	}()
	got := 0
	for decoder := gob.NewDecoder(output); ; got++ {
		var r report
		if err := decoder.Decode(&r); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
	}
	// One message more than the bound; the first carries its types.
	if err := <-over; err != nil || got != n || greatest > 2*most+1000 {
		t.Errorf("%v: %d of %d read, up to %d bytes waited", err, got, n, greatest)
	}
}

// Nobody to tell anything to, and nobody who would stop it, end a load.
func TestALoadThatNobodyWaitsFor(t *testing.T) {
	record := func(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
		for ctx.Err() == nil {
			if err := a.Record(truth(0)); err != nil {
				return nil, err
			}
		}
		return nil, context.Cause(ctx)
	}
	in, input := orders(t, jobOf(1))
	output, out := io.Pipe()
	output.Close()
	if err := Serve(t.Context(), in, out, only(record)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("without a reader: %v", err)
	}
	input.Close()

	in, input = orders(t, jobOf(1))
	var stopped error
	var reports bytes.Buffer
	err := Serve(t.Context(), in, &reports, only(func(ctx context.Context, _ load.Assignment) (*metrics.Document, error) {
		input.Close()
		<-ctx.Done()
		stopped = context.Cause(ctx)
		return nil, nil
	}))
	if err != nil || !errors.Is(stopped, errLeft) {
		t.Errorf("without an input: stopped by %v, %v", stopped, err)
	}
}

func TestServeRefuses(t *testing.T) {
	for says, told := range map[string]string{
		"reading the load generator's job": "{}",
		"EOF":                              "",
	} {
		if err := Serve(t.Context(), strings.NewReader(told), io.Discard, only(tells)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", told, err)
		}
	}
	in, input := orders(t, order{Stop: "too early"})
	defer input.Close()
	if err := Serve(t.Context(), in, io.Discard, only(tells)); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("without a job: %v", err)
	}
}
