package rank

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/analysis/waits"
)

// FromSession ranks a recorded session by the windows of its CPU profile, and of its
// profiles of waits where it has them.
func FromSession(s *session.Session, options Options) (*Report, error) {
	var tally Tally
	for window, err := range s.Windows(session.CPU) {
		if err != nil {
			return nil, fmt.Errorf("ranking: %w", err)
		}
		if err := tally.Add(window.Profile); err != nil {
			return nil, fmt.Errorf("ranking window %d: %w", window.Index, err)
		}
	}
	if tally.windows == 0 {
		return nil, fmt.Errorf("ranking: the session %s has no CPU profile: %w", s.Dir(), fs.ErrNotExist)
	}
	documents, err := s.Metrics()
	if err != nil {
		return nil, fmt.Errorf("ranking: %w", err)
	}
	options.Profile = session.CPU
	if err := tally.addWaits(s); err != nil {
		return nil, fmt.Errorf("ranking waits: %w", err)
	}
	if options.Queues, err = queues(s); err != nil {
		return nil, fmt.Errorf("ranking waits: %w", err)
	}
	options.Seconds, options.CPUs = ran(s), s.Host.CPUsOnline
	return tally.Report(documents, options)
}

// addWaits adds the windows of the profiles of waits.
func (t *Tally) addWaits(s *session.Session) error {
	for _, kind := range []struct {
		name string
		add  func(*profile.Profile) error
	}{
		{session.Alloc, t.AddAlloc}, {session.Fault, t.AddFault}, {session.OffCPU, t.AddOffCPU}, {session.LockWait, t.AddLockWait}, {session.LockBlame, t.AddLockBlame}, {session.LockHeld, t.AddLockHeld},
	} {
		for window, err := range s.Windows(kind.name) {
			if err == nil {
				err = kind.add(window.Profile)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
		}
	}
	return nil
}

// ran is how long each benchmark ran. Times that overlap count once.
func ran(s *session.Session) map[string]float64 {
	of := map[string][]session.Benchmark{}
	for _, b := range s.Benchmarks {
		of[b.Benchmark] = append(of[b.Benchmark], b)
	}
	seconds := map[string]float64{"": s.Duration().Seconds()}
	for name, list := range of {
		slices.SortFunc(list, func(a, b session.Benchmark) int { return a.Start.Compare(b.Start) })
		var end time.Time
		for _, b := range list {
			if b.Start.Before(end) {
				b.Start = end
			}
			if b.End.After(b.Start) {
				seconds[name] += b.End.Sub(b.Start).Seconds()
				end = b.End
			}
		}
	}
	return seconds
}

// queues is how many threads wait on average before each lock that has a convoy.
func queues(s *session.Session) (map[string]float64, error) {
	data, err := s.ReadFile(waits.FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := waits.Decode(data)
	if err != nil {
		return nil, err
	}
	queues := map[string]float64{}
	for _, c := range d.Convoys {
		queues[c.Lock] = c.Queue
	}
	return queues, nil
}
