package flamegraph

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds what is written of one text, in characters: C++ templates give
// names of many kilobytes, and each would be in the file.
const maxText = 300

// printable returns s as it may stand in a picture: valid UTF-8 without control
// characters and without the invisible ones that reorder text (names come from
// the profiled binaries and may try to look like others), and cut in the middle,
// since the ends of a C++ name tell more than its template arguments.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) || !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
	n := utf8.RuneCountInString(s)
	if n <= maxText {
		return s
	}
	const head = maxText * 2 / 3
	r := []rune(s)
	return string(r[:head]) + "…" + string(r[n-(maxText-head-1):])
}

// importPath matches the directories before a Go name, whose last element is
// what a reader looks for when the whole does not fit; C++'s "operator/(" is no
// path. graph.js has the same.
var importPath = regexp.MustCompile(`^[^(\[<{ ]*/([^(])`)

// fit shortens a name to at most n characters, or to nothing below three.
func fit(name string, n int) string {
	if utf8.RuneCountInString(name) <= n {
		return name
	}
	name = importPath.ReplaceAllString(name, "$1")
	r := []rune(name)
	switch {
	case len(r) <= n:
		return name
	case n < 3:
		return ""
	}
	return string(r[:n-1]) + "…"
}
