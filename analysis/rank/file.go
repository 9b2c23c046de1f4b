package rank

import (
	"encoding/json"
	"fmt"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// FileName is the session's file that holds the [Report].
const FileName = "bottleneck_report.json"

// Write puts the report into a session.
func (r *Report) Write(s *session.Session) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", FileName, err)
	}
	return writeFile(s, FileName, data)
}

// Write puts the table into a session, as profiles/<service>.json.
func (p *ServiceProfile) Write(s *session.Session) error {
	name := "profiles/" + p.Service + ".json"
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return writeFile(s, name, data)
}

func writeFile(s *session.Session, name string, data []byte) error {
	file, err := s.Create(name)
	if err != nil {
		return err
	}
	if _, err := file.Write(append(data, '\n')); err != nil {
		file.Discard()
		return err
	}
	return file.Close()
}

// Read reads the report of a session; fs.ErrNotExist if it has none.
func Read(s *session.Session) (*Report, error) {
	data, err := s.ReadFile(FileName)
	if err != nil {
		return nil, err
	}
	r, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", FileName, err)
	}
	return r, nil
}

// decode parses a report and refuses shares that are none.
func decode(data []byte) (*Report, error) {
	var version struct {
		SchemaVersion int `json:"schema_version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, err
	}
	if version.SchemaVersion != SchemaVersion {
		return nil, fmt.Errorf("its schema version is %d, and this narrows reads %d", version.SchemaVersion, SchemaVersion)
	}
	r := new(Report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	for _, b := range r.Top {
		if err := b.check(); err != nil {
			return nil, err
		}
	}
	for _, m := range r.Ranked {
		for _, s := range m.Services {
			for _, b := range s.Bottlenecks {
				if err := b.check(); err != nil {
					return nil, err
				}
			}
			for _, e := range s.ByTime {
				if err := e.check(); err != nil {
					return nil, err
				}
			}
		}
	}
	return r, nil
}

func (b *Bottleneck) check() error {
	for _, share := range []float64{b.Share, b.Interval.Low, b.Interval.High, b.RecordedShare, b.Payoff.SavingAtMost} {
		if share < 0 || share > 1 {
			return fmt.Errorf("%q has a share of %v", b.Title, share)
		}
	}
	if urgency(b.Priority) < 0 {
		return fmt.Errorf("%q has the unknown priority %q", b.Title, b.Priority)
	}
	return nil
}

func (e *Entry) check() error {
	if e.TimeShare < 0 || e.Payoff != nil && (e.Payoff.SavingAtMost < 0 || e.Payoff.SavingAtMost > 1) {
		return fmt.Errorf("%q has a share of %v of the time", e.Function, e.TimeShare)
	}
	if urgency(e.Priority) < 0 {
		return fmt.Errorf("%q has the unknown priority %q", e.Function, e.Priority)
	}
	return nil
}
