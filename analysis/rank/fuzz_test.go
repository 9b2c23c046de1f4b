package rank

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

func FuzzDecode(f *testing.F) {
	b := newBuilder().add("dot|matmul;main", 500, first, ryot, "phase=prefill").add("[lost: missed ticks]", 5)
	for _, r := range []*Report{rankAll(f, outcome(metrics.Missed, "ms"), b, b, b), rankAll(f, nil)} {
		data, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"schema_version":1,"top":[{"share":2}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("a report that was read cannot be written: %v", err)
		}
		if _, err := decode(again); err != nil {
			t.Fatalf("a report that was written cannot be read: %v", err)
		}
	})
}

// FuzzTally ranks profiles that anybody may have made.
func FuzzTally(f *testing.F) {
	for _, b := range []*builder{
		newBuilder().add("dot|matmul;walk;walk;main", 500, first, ryot, "phase=prefill", "unwind=x"),
		newBuilder().add("asm_exc_page_fault;malloc;f", 40, first, ryot).add("runtime.gcBgMarkWorker", 40, first, ryot),
		newBuilder().add("", 40).add("[lost: x]", 3, ryot).add("[lost: ", 50, ryot),
	} {
		var data bytes.Buffer
		if err := b.p.WriteUncompressed(&data); err != nil {
			f.Fatal(err)
		}
		f.Add(data.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := profile.ParseUncompressed(data)
		if err != nil || p.CheckValid() != nil {
			return
		}
		var tally Tally
		if tally.Add(p) != nil {
			return
		}
		r, err := tally.Report(nil, Options{MinSamples: 1})
		if err != nil {
			t.Fatal(err)
		}
		data, err = json.Marshal(r)
		if err != nil {
			t.Fatalf("a ranking that cannot be written: %v", err)
		}
		if _, err := decode(data); err != nil {
			t.Fatalf("a ranking that cannot be read: %v", err)
		}
		if _, err := serviceProfile(p, Subject{Service: "ryot"}, 10); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzWaits ranks profiles of waits that anybody may have made.
func FuzzWaits(f *testing.F) {
	for _, b := range []waitBuilder{
		lockDelay().add("sync.(*Mutex).Lock;x.f.deferwrap1;net/http.(*conn).serve;runtime.goexit", 9, second, first, ryot, "state=go", "lock=1", "lock_kind=sync.Mutex"),
		lockDelay().add("[a+0x1];[no stack: x]", 9, second, first, "state=futex", "lock=1").add("", 1, 1, first),
	} {
		var data bytes.Buffer
		if err := b.p.WriteUncompressed(&data); err != nil {
			f.Fatal(err)
		}
		f.Add(data.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := profile.ParseUncompressed(data)
		if err != nil || p.CheckValid() != nil {
			return
		}
		var tally Tally
		if tally.AddLockWait(p) != nil || tally.AddLockBlame(p) != nil {
			return
		}
		_ = tally.AddOffCPU(p)
		r, err := tally.Report(nil, Options{CPUs: 2, Seconds: map[string]float64{"": 1, "FirstTokenLatencyBenchmark": 10}})
		if err != nil {
			t.Fatal(err)
		}
		data, err = json.Marshal(r)
		if err != nil {
			t.Fatalf("a ranking that cannot be written: %v", err)
		}
		if _, err := decode(data); err != nil {
			t.Fatalf("a ranking that cannot be read: %v", err)
		}
	})
}
