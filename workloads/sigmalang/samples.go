package sigmalang

import (
	"fmt"
	"time"

	"github.com/narrows-profiler/narrows/workloads/benchmark"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/corpus"
)

// samples are the values behind a document, of valid answers only.
type samples struct {
	sets     []*observation
	ratios   []float64 // of English and code, by set
	speeds   []float64 // the same in MB/s
	encodes  []float64 // ms, by text
	requests []float64 // ms, by set
	noBytes  string
	trip     *metrics.RoundTrip // nil until the run is over
	failures int
}

// natural are the kinds that the targets are about.
var natural = []corpus.Kind{corpus.English, corpus.Code}

// of adds up a set's sums of some kinds.
func (o *observation) of(kinds ...corpus.Kind) (total sums) {
	for _, kind := range kinds {
		s := o.kinds[kind]
		total.texts += s.texts
		total.bytes += s.bytes
		total.compressed += s.compressed
		total.encode += s.encode
		total.decode += s.decode
		total.decoded += s.decoded
		total.checked += s.checked
		total.whole += s.whole
	}
	return total
}

// collect gathers the samples of a run.
func collect(result *load.Result, observed map[int]*observation, undecodable string) *samples {
	s := &samples{failures: benchmark.Failures(result)}
	var checked, whole int
	for _, request := range result.Requests {
		if request.Outcome != metrics.OK {
			continue
		}
		set := observed[request.Index]
		s.sets = append(s.sets, set)
		s.requests = append(s.requests, milliseconds(request.End.Sub(request.IntendedStart)))
		for _, took := range set.encodes {
			s.encodes = append(s.encodes, milliseconds(took))
		}
		if set.noBytes != "" {
			s.noBytes = set.noBytes
		}
		all := set.of(corpus.Kinds()...)
		checked += all.checked
		whole += all.whole
	}
	s.speeds = s.each(speed, natural...)
	if s.noBytes == "" {
		s.ratios = s.each(ratio, natural...)
	}
	reason := undecodable
	if s.noBytes != "" {
		reason = s.noBytes
	}
	s.trip = metrics.NewRoundTrip(checked, whole, reason)
	return s
}

// each applies a function to each set's sums of some kinds; sets without an answer
// of it are left out.
func (s *samples) each(f func(sums) (float64, bool), kinds ...corpus.Kind) []float64 {
	var values []float64
	for _, set := range s.sets {
		if value, ok := f(set.of(kinds...)); ok {
			values = append(values, value)
		}
	}
	return values
}

func ratio(t sums) (float64, bool) {
	return float64(t.bytes) / float64(t.compressed), t.compressed > 0
}

// speed is in MB/s, as are bytes by microseconds.
func speed(t sums) (float64, bool) {
	return float64(t.bytes) / microseconds(t.encode), t.encode > 0
}

func decodeSpeed(t sums) (float64, bool) {
	return float64(t.decoded) / microseconds(t.decode), t.decode > 0
}

// perMegabyte turns a speed into the milliseconds that a megabyte takes.
func perMegabyte(f func(sums) (float64, bool)) func(sums) (float64, bool) {
	return func(t sums) (float64, bool) {
		value, ok := f(t)
		return 1000 / value, ok && value > 0
	}
}

// fill takes the samples of a run into its document.
func (s *samples) fill(document *metrics.Document) {
	document.RoundTrip = s.trip
	s.fillRatios(document)
	document.SetMean("throughput_mb_per_s", s.speeds)
	for _, kind := range corpus.Kinds() {
		document.SetMean("throughput_mb_per_s_"+string(kind), s.each(speed, kind))
	}
	document.SetMean("compress_ms_per_mb", s.each(perMegabyte(speed), natural...))
	const undecoded = "no text came back whole"
	for name, values := range map[string][]float64{
		"decompress_mb_per_s":  s.each(decodeSpeed, natural...),
		"decompress_ms_per_mb": s.each(perMegabyte(decodeSpeed), natural...),
	} {
		if document.SetMean(name, values); len(values) == 0 {
			document.SetUnavailable(name, undecoded)
		}
	}
	document.SetPooledQuantile("encode_p50_ms", s.encodes, len(s.sets), 0.50)
	document.SetPooledQuantile("encode_p95_ms", s.encodes, len(s.sets), 0.95)
	document.SetMean("request_mean_ms", s.requests)
	document.SetQuantile("request_p95_ms", s.requests, 0.95)
	document.SetPooledMean("text_bytes_mean", s.each(func(t sums) (float64, bool) {
		return float64(t.bytes) / float64(t.texts), t.texts > 0
	}, corpus.Kinds()...))
}

// fillRatios sets what needs the encoded bytes.
func (s *samples) fillRatios(document *metrics.Document) {
	kinds := map[string][]corpus.Kind{"compression_ratio": natural, "compression_ratio_all": corpus.Kinds()}
	for _, kind := range corpus.Kinds() {
		kinds["compression_ratio_"+string(kind)] = []corpus.Kind{kind}
	}
	for name, of := range kinds {
		if s.noBytes != "" {
			document.SetUnavailable(name, s.noBytes)
			continue
		}
		document.SetMean(name, s.each(ratio, of...))
	}
	if s.trip.Checked == 0 {
		document.SetUnavailable("round_trip_ok_ratio", s.trip.Reason)
		return
	}
	document.Set("round_trip_ok_ratio", float64(s.trip.Whole)/float64(s.trip.Checked))
}

// qualify takes back what a target promises where the texts did not come back: what
// may be lost can be made as small, and as fast, as one likes.
func (s *samples) qualify(target *metrics.Target) {
	if s.trip == nil || s.trip.Lossless == metrics.LosslessTrue || target.Verdict != metrics.Met {
		return
	}
	target.Verdict = metrics.Undecided
	if s.trip.Lossless == metrics.LosslessFalse {
		target.Verdict = metrics.Missed
	}
	target.Reason = fmt.Sprintf("%s, but the target is one of compression without loss, and lossless is %s", target.Reason, s.trip)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
