package sigmavault

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// What is read is not allocated anew: that would be megabytes for each iteration. Some
// servers do not tell the length of what they send.
func TestReadingAllocatesLittle(t *testing.T) {
	null := Null()
	for kind, handler := range map[string]http.Handler{
		"of a length": null,
		"in chunks": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			null.ServeHTTP(chunked{w}, r)
		}),
	} {
		server := httptest.NewServer(handler)
		s, err := open(service.Endpoint{URL: server.URL}, nil)
		if err != nil {
			t.Fatal(err)
		}
		d := &driver{scale: scale{largest: 1 << 20, library: 16, cold: 4}, store: s, units: newUnits(1, 1<<20), seen: map[int]observation{}}
		r := &reader{driver: d}
		r.operations, r.phases = 8, load.NewPhases(func(string) {})
		r.prepare(t.Context(), 10*time.Second)
		const iterations = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range iterations {
			if e := r.Send(t.Context(), i); e.Outcome != metrics.OK || e.Bytes == 0 {
				t.Fatalf("%s: %+v", kind, e)
			}
		}
		runtime.ReadMemStats(&after)
		var read int64
		for _, o := range r.seen {
			read += o.bytes
		}
		allocated := int64(after.TotalAlloc - before.TotalAlloc)
		t.Logf("%s: an iteration reads %d kB and allocates %d kB, client and server together", kind, read/iterations/1000, allocated/iterations/1000)
		if read < iterations<<20 || allocated > read/4 {
			t.Errorf("%s: %d bytes allocated to read %d", kind, allocated, read)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
		server.Close()
	}
}

// chunked does not tell the length of an answer.
type chunked struct{ http.ResponseWriter }

func (c chunked) Write(content []byte) (int, error) {
	c.Header().Del("Content-Length")
	return c.ResponseWriter.Write(content)
}
