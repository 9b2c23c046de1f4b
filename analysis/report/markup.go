package report

import (
	"bytes"
	"fmt"
	"strings"
)

// markup is Markdown that is safe to print. Only literals of this package and
// the functions below make it, so text from a session cannot pass unescaped.
type markup string

// marks are the characters of text that Markdown or HTML gives a meaning.
var marks = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "&#124;", "://", "&#58;//",
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "#", `\#`, "~", `\~`)

// text prints a session's text as nothing but text, on one line.
func text(s string) markup { return markup(marks.Replace(clean(s))) }

// code prints a name as a code span. The fence is longer than any run of
// backticks in the name (CommonMark 0.31, 6.1).
func code(s string) markup {
	s = clean(s)
	if strings.TrimSpace(s) == "" {
		return "(none)"
	}
	fence := strings.Repeat("`", longestRun(s)+1)
	if strings.ContainsAny(s[:1]+s[len(s)-1:], "` ") {
		s = " " + s + " "
	}
	return markup(fence + s + fence)
}

// longestRun is the length of the longest run of backticks.
func longestRun(s string) int {
	longest, run := 0, 0
	for _, r := range s {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

// document collects Markdown.
type document struct {
	bytes.Buffer
}

func (d *document) heading(level int, title markup) {
	fmt.Fprintf(d, "%s %s\n\n", strings.Repeat("#", level), title)
}

// paragraph prints sentences one after the other.
func (d *document) paragraph(sentences ...markup) {
	d.WriteString(join(sentences, " "))
	d.WriteString("\n\n")
}

func (d *document) list(items []markup) {
	for _, item := range items {
		fmt.Fprintf(d, "- %s\n", item)
	}
	d.WriteString("\n")
}

// table prints rows below their headers; a header that starts with ">" is
// that of a column of numbers. A pipe ends a cell even in a code span, unless
// escaped (GitHub Flavored Markdown 0.29, 4.10).
func (d *document) table(headers []markup, rows [][]markup) {
	if len(rows) == 0 {
		d.paragraph("None.")
		return
	}
	rule := make([]markup, len(headers))
	titles := make([]markup, len(headers))
	for i, h := range headers {
		title, right := strings.CutPrefix(string(h), ">")
		titles[i], rule[i] = markup(title), "---"
		if right {
			rule[i] = "---:"
		}
	}
	for _, row := range append([][]markup{titles, rule}, rows...) {
		d.WriteString("|")
		for _, cell := range row {
			fmt.Fprintf(d, " %s |", strings.ReplaceAll(string(cell), "|", `\|`))
		}
		d.WriteString("\n")
	}
	d.WriteString("\n")
}

// block prints lines as they are.
func (d *document) block(language markup, lines []string) {
	longest := 0
	for i := range lines {
		lines[i] = clean(lines[i])
		longest = max(longest, longestRun(lines[i]))
	}
	fence := strings.Repeat("`", max(3, longest+1))
	fmt.Fprintf(d, "%s%s\n%s\n%s\n\n", fence, language, strings.Join(lines, "\n"), fence)
}

func join(parts []markup, separator string) string {
	all := make([]string, len(parts))
	for i, p := range parts {
		all[i] = string(p)
	}
	return strings.Join(all, separator)
}
