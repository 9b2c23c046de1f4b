package rank

import (
	"fmt"
	"io/fs"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// FromSession ranks a recorded session by the windows of its CPU profile.
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
	return tally.Report(documents, options)
}
