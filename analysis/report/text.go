package report

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// clean makes text safe to print on one line: control and formatting
// characters, line ends and invalid UTF-8 become escapes such as \x1b.
func clean(text string) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1, r < 0x80 && !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		text = text[size:]
	}
	return b.String()
}

// shorten cuts text in its middle to at most width characters.
func shorten(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	if width < 2 {
		return string(runes[:max(width, 0)])
	}
	front := (width - 1) / 2
	return string(runes[:front]) + "…" + string(runes[len(runes)-(width-1-front):])
}

// number prints four significant digits, and whole numbers with separators.
func number(v float64) string {
	if math.Abs(v) == math.MaxFloat64 { // stands for a request that never ended
		return "unbounded"
	}
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return count(int64(v))
	}
	if a := math.Abs(v); a >= 1000 && a < 1e15 {
		return count(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// count prints a whole number with a comma between groups of three digits.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// plural prints a number with its noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// withUnit prints a number with its unit; that of a ratio is ":1".
func withUnit(value, unit string) string {
	if unit == "" || strings.HasPrefix(unit, ":") {
		return value + unit
	}
	return value + " " + unit
}

// percent prints a share. What is not nothing or all is not rounded to it.
func percent(share float64) string {
	switch {
	case share > 0 && share < 0.0005:
		return "<0.1 %"
	case share < 1 && share >= 0.9995:
		return ">99.9 %"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}

// ratio is part/whole, and 0 of nothing.
func ratio(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// span prints a share's interval.
func span(i rank.Interval) string {
	return fmt.Sprintf("%.1f to %.1f %%", 100*i.Low, 100*i.High)
}

// cpuTime prints nanoseconds in the unit that suits them.
func cpuTime(ns int64) string {
	switch a := math.Abs(float64(ns)); {
	case a >= 1e9:
		return fmt.Sprintf("%.1f s", float64(ns)/1e9)
	case a >= 1e6:
		return fmt.Sprintf("%.1f ms", float64(ns)/1e6)
	case a >= 1e3:
		return fmt.Sprintf("%.1f us", float64(ns)/1e3)
	}
	return fmt.Sprintf("%d ns", ns)
}

// lostTime prints what was expected and not seen. Where samples stand for more
// time than the kernel counted, as chance has it, nothing was lost.
func lostTime(ns int64) string {
	if ns <= 0 {
		return "none"
	}
	return cpuTime(ns)
}

// size prints a number of bytes in binary units.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return plural(n, "byte")
}

// duration prints a time span, or "unknown" for none.
func duration(d time.Duration) string {
	if d <= 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// where is a place's source line, or its binary where lines are unknown.
func where(b *rank.Bottleneck) string {
	switch {
	case b.File != "":
		return path.Base(source(b))
	case b.Binary != "":
		return path.Base(b.Binary)
	}
	return "unknown"
}

// source is a place's source line with the file's whole path.
func source(b *rank.Bottleneck) string {
	if b.File != "" && b.Line > 0 {
		return fmt.Sprintf("%s:%d", b.File, b.Line)
	}
	return known(b.File)
}

// known returns text, or "unknown" for none.
func known(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// commandLine prints a command as a shell would take it.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsAny(word, " \t\n'\"$`\\&|;<>()*?[]{}#~!") {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// addition says what a load generator adds to latencies by itself.
func addition(own *metrics.Generator) string {
	return fmt.Sprintf("%s ms (median), %s ms (99th percentile)", number(own.AddedP50Ms), number(own.AddedP99Ms))
}
