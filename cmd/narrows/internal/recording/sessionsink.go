package recording

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/analysis/waits"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/lock"
)

// SessionSink writes windows into a session folder. What they say of waits is added up
// meanwhile.
type SessionSink struct {
	writer *session.Writer
	waits  *waits.Tally
	places *waits.Places
	live   *collector.LiveSites // of the last window
}

// NewSessionSink begins without a window.
func NewSessionSink(writer *session.Writer) *SessionSink {
	return &SessionSink{writer: writer, waits: waits.NewTally(), places: waits.NewPlaces()}
}

// Window writes one window's profiles. Before that, waits of threads with nothing to do are
// set apart, and locks of programs' own get their names.
func (s *SessionSink) Window(ctx context.Context, w collector.Window) error {
	seen := waitsOf(w)
	s.places.Name(&seen) // before the profiles are written
	for _, signal := range slices.Sorted(maps.Keys(w.Profiles)) {
		if err := s.writer.WriteWindow(ctx, session.Window{Index: w.Index, Start: w.Start, End: w.End}, session.ProfileFile(string(signal)), w.Profiles[signal]); err != nil {
			return err
		}
	}
	s.waits.Add(seen)
	s.live = w.Live
	return nil
}

// Finish writes what the windows say of waits and of memory, and finishes the session.
func (s *SessionSink) Finish(ctx context.Context, outcome session.Outcome, summary session.Summary) error {
	err := errors.Join(s.writeWaits(), s.writeMemory(summary.Memory))
	if err != nil && outcome.Status == session.Complete {
		outcome = session.Outcome{Status: session.Failed, Reason: err.Error()}
	}
	return errors.Join(err, s.writer.Finish(ctx, outcome, summary))
}

func (s *SessionSink) writeWaits() error {
	data, err := s.waits.Document().Encode()
	if err != nil {
		return err
	}
	return s.write(waits.FileName, data)
}

// write makes a file of the session.
func (s *SessionSink) write(name string, data []byte) error {
	file, err := s.writer.Create(name)
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		file.Discard()
		return err
	}
	return file.Close()
}

// waitsOf is what a window, whose profiles are named, says of waits. Idle ones get their
// label by that.
func waitsOf(w collector.Window) waits.Window {
	seen := waits.Window{
		Start: w.Start, End: w.End, CPU: w.Profiles[collector.CPU], OffCPU: w.Profiles[collector.OffCPU],
		LockWait: w.Profiles[collector.LockWait], LockBlame: w.Profiles[collector.LockBlame], LockHeld: w.Profiles[collector.LockHeld],
		Programs: w.Programs,
	}
	if seen.OffCPU != nil {
		seen.Idle = waits.MarkIdle(seen.OffCPU)
	}
	if seen.LockWait != nil {
		waits.MarkIdle(seen.LockWait)
	}
	for _, l := range w.Locks {
		seen.Locks = append(seen.Locks, lockSeen(l))
	}
	for k, e := range w.Edges {
		seen.Edges = append(seen.Edges, waits.EdgeSeen{
			EdgeKey: waits.EdgeKey{Waiter: thread(k.Waiter), Holder: thread(k.Holder), State: k.State, Lock: k.Lock, Benchmark: k.Benchmark, Phase: k.Phase},
			Waits:   e.Waits, NS: e.Total, LongestNS: e.Longest,
		})
	}
	for _, c := range w.Deadlocks {
		seen.Deadlocks = append(seen.Deadlocks, deadlockSeen(c))
	}
	return seen
}

// deadlockSeen is a circle, which has been closed since the last of its threads waits.
func deadlockSeen(c lock.Cycle) waits.DeadlockSeen {
	var d waits.DeadlockSeen
	var since uint64
	for _, m := range c {
		d.Members = append(d.Members, waits.Member{Thread: thread(m.Waiter), Lock: m.Lock.ID})
		since = max(since, m.Since)
	}
	d.Since = time.Now().Add(-time.Duration(collector.Now() - since))
	return d
}

// outcomes are how waits end, as waits.json has them.
var outcomes = map[lock.Outcome]string{
	lock.Woken: "woken", lock.TimedOut: "timed_out", lock.Interrupted: "interrupted", lock.Changed: "changed", lock.Open: "open",
}

func lockSeen(l *lock.Lock) waits.LockSeen {
	seen := waits.LockSeen{
		ID: l.ID, Kind: l.Kind, Name: l.Name, Of: l.Of, OnlyIfNamed: l.Kind == lock.Wakeup, PID: l.PID, Process: l.Process, Service: l.Service,
		Acquisitions: l.Acquisitions, Waits: l.Waits, TotalNS: l.Total, Lengths: maps.Collect(l.Lengths.Lengths()), LongestNS: l.Lengths.Longest(),
		Outcomes: map[string]float64{}, Holds: l.Holds, HeldNS: l.HeldFor, Waiters: l.Waiters,
	}
	if l.PID == 0 {
		seen.Process, seen.Service = "", "" // a lock of the kernel is everybody's
	}
	for outcome, name := range outcomes {
		seen.Outcomes[name] = l.Outcomes[outcome]
	}
	return seen
}

func thread(t lock.Thread) waits.Thread {
	return waits.Thread{Service: t.Service, Process: t.Process, Name: t.Name, Container: t.Container, PID: t.PID, TID: t.TID}
}
