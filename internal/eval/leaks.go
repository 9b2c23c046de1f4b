package eval

import (
	"context"
	"fmt"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/workloads/plant"
)

// leaks looks for a planted leak in what lived at the end of a session, and makes sure that it
// is gone with the fix.
func (r *Result) leaks(ctx context.Context, c Config, faulty *session.Session) error {
	found, err := memory.Read(faulty)
	if err != nil {
		return fmt.Errorf("with the fault: %w", err)
	}
	r.findLeak(found)
	mended, err := c.profile(ctx, r.Subject, plant.Choice{Fault: r.Name, Fixed: true})
	if err != nil {
		return fmt.Errorf("with the fix: %w", err)
	}
	left, err := memory.Read(mended)
	if err != nil {
		return fmt.Errorf("with the fix: %w", err)
	}
	for _, l := range r.leaksOf(left) {
		if named(l.Function, r.Place) {
			return fmt.Errorf("with the fix %s leaks still", l.Function)
		}
	}
	return nil
}

// findLeak looks among the leaks of the service.
func (r *Result) findLeak(d *memory.Document) {
	r.First, r.FirstShare, r.FirstWhat, r.FirstHolder = "", 0, "", ""
	for i, l := range r.leaksOf(d) {
		if i == 0 {
			r.First, r.FirstWhat = l.Function, fmt.Sprintf("leak of %.3g MB", float64(l.Live.Bytes)/1e6)
		}
		if r.Rank == 0 && named(l.Function, r.Place) {
			r.Rank, r.Cause = i+1, "leak"
		}
	}
}

func (r *Result) leaksOf(d *memory.Document) (leaks []memory.LivePlace) {
	for _, l := range d.Leaks() {
		if l.Service == r.Service {
			leaks = append(leaks, l)
		}
	}
	return leaks
}
