package sigmavault

import (
	"context"
	"net"
	"os"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/plant"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/sigmavault/server"
	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// The reference service passes its own benchmarks, with each fault too, and is empty
// afterwards.
func TestReferenceService(t *testing.T) {
	for _, fault := range []string{"", vault.LockedFsync, vault.RewrittenIndex, vault.RankedReads} {
		v, err := vault.Open(vault.Config{Folder: t.TempDir(), Plant: plant.Choice{Fault: fault}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.New(server.Config{Vault: v})
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- s.Serve(ctx, listener) }()
		endpoint := service.Endpoint{Service: Service, Kind: service.External, URL: "http://" + listener.Addr().String(), PID: os.Getpid()}
		for one, k := range map[string]kind{"read": reading(), "write": writing()} {
			k.largest, k.library, k.cold, k.stock = 64<<10, 16, 4, 10
			result := new(outcome)
			d, err := run(t.Context(), result.assignment("SomeBenchmark", endpoint, load.Options{Iterations: 6, Seed: 1, Concurrency: 1}), k, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d.N != 6 || d.Status != metrics.Complete || value(t, d, one+"_p50_ms") <= 0 || value(t, d, "throughput_mb_per_s") <= 0 || value(t, d, "peak_memory_mb") <= 0 {
				t.Errorf("%q %s: n %d, status %s, errors %v, notes %q", fault, one, d.N, d.Status, d.Errors, d.Notes)
			}
			if err := d.Validate(); err != nil {
				t.Error(err)
			}
		}
		if left, err := v.List("", 10); err != nil || len(left) != 0 {
			t.Errorf("%q: left behind %v, %v", fault, left, err)
		}
		stats, err := v.Stats()
		if err != nil || (fault != vault.LockedFsync) != (stats.Flushes < stats.Writes) {
			t.Errorf("%q: %d writes by %d flushes, %v: group commit is what the fault lacks", fault, stats.Writes, stats.Flushes, err)
		}
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}
