package generator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// roleVariable makes this test binary a load generator, or a process that starts one.
const roleVariable = "NARROWS_TEST_GENERATOR_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVariable) {
	case "":
		goleak.VerifyTestMain(m)
		return
	case "generator":
		err = serveInherited()
	case "parent":
		err = startAndWait()
	case "mute":
		signal.Ignore(syscall.SIGTERM)
		for {
			time.Sleep(time.Hour) // nothing at all would be called a deadlock
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveInherited() error {
	in, err := Pollable(0, "orders")
	if err != nil {
		return err
	}
	out, err := Pollable(1, "reports")
	if err != nil {
		return err
	}
	return errors.Join(Serve(context.Background(), in, out, lookup), in.Close(), out.Close())
}

// startAndWait starts a generator and says which process it is.
func startAndWait() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := Command{Arguments: []string{"env", roleVariable + "=generator", self}}
	_, err = c.Run(context.Background(), load.Assignment{Name: "Waits"}, func(phase string, _ metrics.Instant) { fmt.Println(phase) })
	return err
}

// lookup finds the benchmarks that the generator of these tests has.
func lookup(name string) (load.Benchmark, error) {
	for known, b := range map[string]load.Benchmark{"Tells": tells, "Waits": waits, "Dies": dies, "Echoes": echoes, "Fails": fails} {
		if name == known {
			return b, nil
		}
	}
	return nil, fmt.Errorf("there is no benchmark %q", name)
}

// truth is the n-th request of Tells; some of it is absent.
func truth(n int) metrics.Request {
	at := func(ms int) metrics.Instant {
		since := time.Duration(1000*n+ms) * time.Millisecond
		return metrics.Instant{Time: time.Unix(1_700_000_000, 123_456_789).UTC().Add(since), MonotonicNs: since.Nanoseconds()}
	}
	sent, first := at(1), at(2)
	r := metrics.Request{Index: n, IntendedStart: at(0), Sent: &sent, FirstByte: &first, End: at(3), LocalPort: 40000 + n, Outcome: metrics.OK, Bytes: int64(n)}
	if n%2 == 1 {
		r.Sent, r.FirstByte, r.LocalPort, r.Outcome, r.Error = nil, nil, 0, metrics.Dropped, "é \"quoted\""
	}
	return r
}

// truthDocument is what Tells returns: numbers that are 0 and numbers that are absent.
func truthDocument(a load.Assignment) *metrics.Document {
	d := metrics.New("ryot", a.Name, "it was not measured")
	zero := 0.0
	d.Metrics["peak_memory_mb"] = &zero
	d.Timestamp = time.Unix(1_700_000_000, 42).UTC()
	d.Provenance.NarrowsVersion, d.Provenance.Seed, d.Provenance.SessionRelative = a.Version, a.Options.Seed, a.RequestsFile
	for _, e := range a.Endpoints {
		d.Notes = append(d.Notes, fmt.Sprintf("%+v", e))
	}
	d.CI["peak_memory_mb"] = metrics.Interval{Low: -1, High: 0.1 + 0.2, Confidence: 0.95}
	return d
}

// tells reports as many requests as it has iterations.
func tells(_ context.Context, a load.Assignment) (*metrics.Document, error) {
	for n := range a.Options.Iterations {
		a.Mark(fmt.Sprintf("phase %d", n))
		a.Progress(n+1, a.Options.Iterations)
		if err := a.Record(truth(n)); err != nil {
			d := truthDocument(a)
			d.StatusReason = err.Error()
			return d, err
		}
	}
	return truthDocument(a), nil
}

// waits says which process it is, records one request, and waits to be stopped.
func waits(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
	a.Mark(fmt.Sprint(os.Getpid()))
	if a.Options.Iterations > 0 {
		if err := a.Record(truth(0)); err != nil {
			return nil, err
		}
	}
	<-ctx.Done()
	d := truthDocument(a)
	d.StatusReason = context.Cause(ctx).Error()
	return d, nil
}

// dies crashes in the middle.
func dies(context.Context, load.Assignment) (*metrics.Document, error) {
	fmt.Fprintln(os.Stderr, "panic: index out of range")
	os.Exit(2)
	return nil, nil
}

// fails has no document.
func fails(context.Context, load.Assignment) (*metrics.Document, error) {
	return nil, errors.New("there is no clock")
}

// echoes speaks with a service over its streams.
func echoes(_ context.Context, a load.Assignment) (*metrics.Document, error) {
	e := a.Endpoints["tool"]
	if _, err := io.WriteString(e.Input, "are you there?"); err != nil {
		return nil, err
	}
	if err := e.Input.Close(); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(e.Output)
	d := truthDocument(load.Assignment{Name: a.Name, Endpoints: map[string]service.Endpoint{}})
	d.StatusReason = string(answer)
	return d, err
}
