package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Finish adds the windows of each profile up to the session's profile, writes
// the final session.json and closes the writer. outcome.Status is [Complete],
// [Interrupted] or [Failed]; after Interrupted and Failed the profiles are
// those of the windows that were written. Files started by [Writer.Create] must
// be closed before.
//
// When a profile cannot be written, session.json says "failed" with the reason,
// provided that it can be written itself, and the error is returned. The
// windows stay. A canceled ctx counts as such a failure: to keep what an
// interrupted recording has, pass a context that is still alive.
func (w *Writer) Finish(ctx context.Context, outcome Outcome, summary Summary) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return errors.New("finishing the session: it is finished already")
	}
	switch outcome.Status {
	case Complete, Interrupted, Failed:
	default:
		return fmt.Errorf("finishing the session: %q is not an outcome", outcome.Status)
	}
	w.finished = true
	defer w.folder.root.Close()
	defer w.lock.Close()

	mergeErr := w.mergeWindows(ctx)
	if mergeErr != nil {
		outcome.Status = Failed
		if outcome.Reason != "" {
			outcome.Reason += "; "
		}
		outcome.Reason += mergeErr.Error()
	}
	summary.Warnings = slices.Concat(w.session.Warnings, summary.Warnings)
	if warning := w.folder.warning(); warning != "" {
		summary.Warnings = append(summary.Warnings, warning)
	}
	w.session.Outcome = outcome
	w.session.Summary = summary
	return errors.Join(mergeErr, w.writeDocument())
}

// mergeWindows writes the session's profiles and lists them.
func (w *Writer) mergeWindows(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(w.windows)) {
		windows := slices.Sorted(slices.Values(w.windows[name]))
		if len(windows) == 0 {
			continue
		}
		file, err := w.folder.create(name)
		if err != nil {
			return err
		}
		merged, err := w.folder.mergeInto(ctx, file, name, windows)
		if err != nil {
			file.Discard()
			return fmt.Errorf("adding up the windows of %s: %w", name, err)
		}
		if err := file.Close(); err != nil {
			return err
		}
		w.session.Profiles = append(w.session.Profiles, describe(name, merged))
	}
	return nil
}

// claim notes that a window is being written, so that it is written once.
func (w *Writer) claim(name string, index int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return fmt.Errorf("writing window %d of %s: the session is finished", index, name)
	}
	if slices.Contains(w.windows[name], index) {
		return fmt.Errorf("writing window %d of %s: it is written already", index, name)
	}
	w.windows[name] = append(w.windows[name], index)
	return nil
}

// release takes claim's note back after a failed write.
func (w *Writer) release(name string, index int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.windows[name] = slices.DeleteFunc(w.windows[name], func(i int) bool { return i == index })
}

func (w *Writer) isFinished() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.finished
}

// normalise replaces what JSON would show as null by empty lists and maps, and
// brings times to UTC.
func (s *Session) normalise() {
	s.Start = s.Start.UTC().Round(0)
	if !s.End.IsZero() {
		s.End = s.End.UTC().Round(0)
	}
	s.CommandLine = orEmpty(s.CommandLine)
	if s.Configuration == nil {
		s.Configuration = map[string]any{}
	}
	s.Profiles = orEmpty(s.Profiles)
	s.Signals = orEmpty(s.Signals)
	for i := range s.Signals {
		s.Signals[i].Tried = orEmpty(s.Signals[i].Tried)
	}
	if s.Accounting != nil {
		s.Accounting.ByCPUAndWindow = orEmpty(s.Accounting.ByCPUAndWindow)
	}
	s.Losses = orEmpty(s.Losses)
	s.Unwinding = orEmpty(s.Unwinding)
	for i := range s.Unwinding {
		s.Unwinding[i].Truncated = orEmptyMap(s.Unwinding[i].Truncated)
	}
	s.Symbols = orEmpty(s.Symbols)
	for i := range s.Symbols {
		s.Symbols[i].Unnamed = orEmptyMap(s.Symbols[i].Unnamed)
	}
	s.Services = orEmpty(s.Services)
	s.Benchmarks = orEmpty(s.Benchmarks)
	for i := range s.Benchmarks {
		s.Benchmarks[i].Start = s.Benchmarks[i].Start.UTC().Round(0)
		s.Benchmarks[i].End = s.Benchmarks[i].End.UTC().Round(0)
	}
	s.Calibration = orEmpty(s.Calibration)
	for i := range s.Calibration {
		s.Calibration[i].Values = orEmpty(s.Calibration[i].Values)
	}
	s.Warnings = orEmpty(s.Warnings)
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func orEmptyMap(m map[string]int64) map[string]int64 {
	if m == nil {
		return map[string]int64{}
	}
	return m
}

// Duration is the time from the session's start to its end, or 0 while the end
// is unknown.
func (s *Session) Duration() time.Duration {
	if s.End.IsZero() {
		return 0
	}
	return s.End.Sub(s.Start)
}
