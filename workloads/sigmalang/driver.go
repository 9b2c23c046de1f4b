package sigmalang

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/corpus"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// The phases of a set while it is the only one in flight.
const (
	encodePhase = "encode"
	decodePhase = "decode"
)

// driver sends the sets of one run and keeps what came of them.
type driver struct {
	coder  coder
	shape  shape
	source *corpus.Source
	seed   uint64
	phases *load.Phases // nil in the warm-up
	// undecodable says why nothing is decoded, found in the warm-up.
	undecodable string

	mutex sync.Mutex
	seen  map[int]*observation

	samples *samples // empty until the run is over
}

// observation is what a request record has no place for: the sums over a set's
// texts, by their kind.
type observation struct {
	kinds   map[corpus.Kind]*sums
	encodes []time.Duration // of each text
	noBytes string
}

// sums are those over texts of one kind.
type sums struct {
	texts, bytes, compressed int
	encode, decode           time.Duration
	decoded                  int // bytes that came back whole, which decode is the time of
	checked, whole           int // texts
}

// Measuring ends the warm-up.
func (d *driver) Measuring(phases *load.Phases) { d.phases = phases }

// Fill sets the metrics.
func (d *driver) Fill(document *metrics.Document, result *load.Result) {
	d.samples = collect(result, d.seen, d.undecodable)
	d.samples.fill(document)
}

// Judge sets the target.
func (d *driver) Judge(document *metrics.Document) { d.shape.judge(document, d.samples) }

// text is one text of a set.
type text struct {
	kind corpus.Kind
	text []byte
}

// set returns the texts of a request: the same for the same seed.
func (d *driver) set(index int) []text {
	var set []text
	random := rand.New(rand.NewPCG(d.seed, uint64(int64(index))))
	for i := range d.shape.ofEach {
		length := d.shape.least + random.IntN(d.shape.most-d.shape.least+1)
		for _, kind := range corpus.Kinds() {
			set = append(set, text{kind, d.source.Text(kind, index*d.shape.ofEach+i, length)})
		}
	}
	return set
}

// Send encodes and decodes the texts of a set, one after another.
func (d *driver) Send(ctx context.Context, index int) load.Exchange {
	seen := &observation{kinds: make(map[corpus.Kind]*sums)}
	for _, kind := range corpus.Kinds() {
		seen.kinds[kind] = new(sums)
	}
	var all load.Exchange
	for _, text := range d.set(index) {
		last := d.roundTrip(ctx, index, text, seen)
		all.Outcome, all.Err, all.End = last.Outcome, last.Err, last.End
		all.Bytes += last.Bytes
		if all.FirstByte.IsZero() {
			all.FirstByte, all.LocalPort = last.FirstByte, last.LocalPort
		}
		if all.Outcome != metrics.OK {
			break
		}
	}
	if index >= 0 {
		d.phases.Leave(index)
		d.mutex.Lock()
		defer d.mutex.Unlock()
		d.seen[index] = seen
	}
	return all
}

// enter names the phase of a measured request.
func (d *driver) enter(index int, phase string) {
	if index >= 0 {
		d.phases.Enter(index, phase)
	}
}

// roundTrip encodes a text, decodes what came, and compares.
func (d *driver) roundTrip(ctx context.Context, index int, text text, seen *observation) load.Exchange {
	d.enter(index, encodePhase)
	e := d.coder.encode(ctx, text.text)
	if e.Outcome != metrics.OK {
		return e.Exchange()
	}
	of := seen.kinds[text.kind]
	of.texts++
	of.bytes += len(text.text)
	of.compressed += e.size
	of.encode += e.took
	seen.encodes = append(seen.encodes, e.took)
	seen.noBytes = e.noBytes
	if e.noBytes != "" || d.undecodable != "" {
		return e.Exchange()
	}
	d.enter(index, decodePhase)
	back := d.coder.decode(ctx, e.digits)
	if index < 0 && refused(back.Answer) {
		d.undecodable = fmt.Sprintf("the service does not decode: %v", back.Err)
		return e.Exchange()
	}
	if back.Outcome != metrics.OK {
		return back.Exchange()
	}
	of.checked++
	if bytes.Equal(back.text, text.text) {
		of.whole++
		of.decode += back.took
		of.decoded += len(text.text)
	}
	whole := e.Exchange()
	whole.End = back.End
	whole.Bytes += int64(len(back.Body))
	return whole
}

// refused tells a service that cannot decode from one that failed to.
func refused(a transport.Answer) bool {
	switch a.Outcome {
	case metrics.ServiceError, metrics.HTTPOutcome(http.StatusNotFound), metrics.HTTPOutcome(http.StatusMethodNotAllowed), metrics.HTTPOutcome(http.StatusNotImplemented):
		return true
	}
	return false
}
