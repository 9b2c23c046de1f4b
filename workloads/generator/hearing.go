package generator

import (
	"encoding/gob"
	"io"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// hearing passes on what the process reports.
type hearing struct {
	assignment load.Assignment
	mark       func(phase string, at metrics.Instant)
	stop       func(cause error)

	ended   bool  // the end of the benchmark was marked
	refused error // why a record was not taken; none was given after it
	result  *result
}

// listen returns when the result has come, or why none will.
func (h *hearing) listen(output io.Reader) error {
	reports := gob.NewDecoder(output)
	for h.result == nil {
		var next report // gob leaves alone what a message does not set
		if err := reports.Decode(&next); err != nil {
			return err
		}
		h.take(next)
	}
	return nil
}

func (h *hearing) take(r report) {
	switch {
	case r.Mark != nil:
		h.mark(r.Mark.Phase, r.Mark.At)
		h.ended = r.Mark.Phase == ""
	case r.Progress != nil:
		h.assignment.Progress(r.Progress.Done, r.Progress.Total)
	case r.Request != nil && h.refused == nil:
		if h.refused = h.assignment.Record(*r.Request); h.refused != nil {
			h.stop(h.refused)
		}
	case r.Result != nil:
		h.result = r.Result
	}
}
