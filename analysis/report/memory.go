package report

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
)

// shownLive is how many places whose memory lives are in the report, shownLeaks how many that
// leak are printed of a service.
const (
	shownLive  = 20
	shownLeaks = 3
)

// loadMemory reads which memory lived at the end, nil if that was not recorded.
func loadMemory(s *session.Session) (*memory.Document, error) {
	d, err := memory.Read(s)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return d, err
}

// leaks prints which places of a service leak.
func (t *terminal) leaks(d *memory.Document, service string) {
	if d == nil {
		return
	}
	shown := 0
	for _, l := range d.Leaks() {
		if l.Service != service {
			continue
		}
		if shown++; shown > shownLeaks {
			t.wrapped("     ", fmt.Sprintf("more leaks are in %s", memory.FileName))
			return
		}
		t.wrapped("     ", "leak: "+leak(&l))
	}
	if shown == 0 {
		t.wrapped("     ", "no leak: of no place does memory become more as steadily at the end as before, and live on")
	}
}

// leak says what a place leaks.
func leak(l *memory.LivePlace) string {
	text := fmt.Sprintf("%s: %s in %s live", brief(l.Function), memory.Text(l.Live), plural(l.Live.Objects, "block"))
	if l.Growth != nil {
		text += fmt.Sprintf(", %s more in the last %.3g s, as steadily at the end as before", memory.Megabytes(l.Growth.Bytes), l.Growth.Seconds)
	}
	return text
}

// memory shows which memory lived at the end, leaks first.
func (m *document) memory(d *Data) {
	if d.Memory == nil {
		return
	}
	m.heading(2, "Memory that lived at the end")
	if len(d.Memory.Sites) == 0 {
		m.paragraph("None of what was allocated meanwhile.")
		return
	}
	var rows [][]markup
	for i := range d.Memory.Sites[:min(len(d.Memory.Sites), shownLive)] {
		s := &d.Memory.Sites[i]
		age := "unknown"
		if s.Age != nil {
			age = fmt.Sprintf("%.3g s, half of the bytes %.3g s", s.Age.OldestSeconds, s.Age.MedianSeconds)
		}
		rows = append(rows, []markup{code(s.Function), code(stackOf(s.Functions)), text(known(serviceOr(s))), text(memory.Text(s.Live)), markup(count(s.Live.Objects)),
			text(string(s.Verdict) + ": " + s.Why), text(age)})
	}
	m.table([]markup{"Function", "Stack, innermost first", "Service, or process", ">Lives", ">Blocks", "Verdict", "Oldest block"}, rows)
	if o := d.Memory.Omitted; o.Sites > 0 {
		m.paragraph(text(fmt.Sprintf("%s more hold %s; see %s.", plural(int64(o.Sites), "place"), memory.Megabytes(o.Bytes), memory.FileName)))
	}
}

// stackOf is the inner part of a stack, innermost function first.
func stackOf(functions []string) string {
	const shown = 4
	var list []string
	for _, f := range functions[:min(len(functions), shown)] {
		list = append(list, brief(f))
	}
	return strings.Join(list, " < ")
}

func serviceOr(s *memory.LivePlace) string {
	if s.Service != "" {
		return s.Service
	}
	return fmt.Sprintf("%s (%d)", s.Process, s.PID)
}
