package costs

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Table is what was measured, and where.
type Table struct {
	Title   string
	Machine Machine
	Rows    []Row
	// Skipped says what could not be measured, and why.
	Skipped []string
}

// Row is one cost.
type Row struct {
	Name string
	Unit string
	Estimate
}

func (t *Table) add(name, unit string, e Estimate) {
	t.Rows = append(t.Rows, Row{Name: name, Unit: unit, Estimate: e})
}

func (t *Table) skip(what string, why error) {
	t.Skipped = append(t.Skipped, fmt.Sprintf("%s: %v", what, why))
}

// WriteTo prints the table in Markdown.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n\n", t.Title, t.Machine)
	fmt.Fprint(&b, "| cost | median | unit | 95 % interval | n |\n|---|--:|---|---|--:|\n")
	for _, r := range t.Rows {
		interval, size := "-", math.Abs(r.Median)
		if i := r.Interval; i != nil {
			size = max(size, math.Abs(i.Low), math.Abs(i.High))
			interval = fmt.Sprintf("%s to %s", number(i.Low, size), number(i.High, size))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d |\n", r.Name, number(r.Median, size), r.Unit, interval, r.N)
	}
	for _, s := range t.Skipped {
		fmt.Fprintf(&b, "\nNot measured: %s\n", s)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// number prints a value with the decimals that give one of the given size, the
// largest of its row, three significant digits; whole numbers stay whole.
func number(v, size float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "unknown"
	}
	decimals := 0
	if size > 0 {
		decimals = min(max(2-int(math.Floor(math.Log10(size))), 0), 6)
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
