package report

import (
	"fmt"
	"io"
	"math"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// Calibration prints what was known on a host and how it was seen, as plain text of at
// most 100 columns.
func Calibration(w io.Writer, checks []session.Check) error {
	t := &terminal{w: w}
	for i := range checks {
		c := &checks[i]
		t.wrapped("", fmt.Sprintf("%s: %s", c.Name, c.What))
		t.line("  %s %s %s %s %s", pad("", 32), padLeft("truth", 12), padLeft("seen", 12), padLeft("off by", 12), padLeft("by chance", 14))
		for _, v := range c.Values {
			t.line("  %s %s %s %s %s", pad(v.Name, 32), padLeft(measured(v.Truth, c.Unit), 12), padLeft(measured(&v.Seen, c.Unit), 12),
				padLeft(signed(v.Error), 12), padLeft(atMost(v.Bound), 14))
		}
		note := string(c.Verdict)
		if c.Verdict == session.BeyondChance {
			note = "WARNING: " + note + ": " + c.Reason
		}
		if c.Samples > 0 {
			note = plural(c.Samples, "sample") + "; " + note
		}
		t.wrapped("  ", note)
	}
	return t.err
}

func measured(v *float64, unit string) string {
	if v == nil {
		return "-"
	}
	return withUnit(fmt.Sprintf("%.1f", *v), unit)
}

func signed(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%+.1f", *v)
}

func atMost(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("up to %.1f", *v)
}

// sureness says in a sentence how far off the profiler was where the truth was known.
func sureness(s *session.Session) string {
	for _, c := range s.Calibration {
		worst := 0
		for i, v := range c.Values {
			if v.Error == nil || v.Bound == nil || v.Truth == nil {
				worst = -1
				break
			}
			if math.Abs(*v.Error) > math.Abs(*c.Values[worst].Error) {
				worst = i
			}
		}
		if worst < 0 || len(c.Values) < 2 {
			continue // no split
		}
		v := c.Values[worst]
		return fmt.Sprintf("before that, a program of known split was off by %.1f points at most in %s (chance explains %.1f)", math.Abs(*v.Error), plural(c.Samples, "sample"), *v.Bound)
	}
	return ""
}

// calibration shows what was known and how it was seen.
func (m *document) calibration(s *session.Session) {
	m.heading(2, "How sure the instrument is")
	if len(s.Calibration) == 0 {
		m.paragraph("Unknown: it was not calibrated before this recording.")
		return
	}
	m.paragraph("Before the recording, Narrows measured on this host what was known already. An error within what chance explains says nothing against the instrument; one beyond it does.")
	var rows [][]markup
	for _, c := range s.Calibration {
		for _, v := range c.Values {
			rows = append(rows, []markup{text(c.Name), text(v.Name), text(measured(v.Truth, c.Unit)), text(measured(&v.Seen, c.Unit)),
				text(signed(v.Error)), text(atMost(v.Bound)), markup(count(c.Samples)), text(string(c.Verdict))})
		}
	}
	m.table([]markup{"Known", "Value", ">Truth", ">Seen", ">Off by", ">By chance", ">Samples", "Verdict"}, rows)
	var items []markup
	for _, c := range s.Calibration {
		items = append(items, text(c.Name+": "+c.What+"; "+c.Reason)+".")
	}
	m.list(items)
}
