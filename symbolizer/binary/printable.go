package binary

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable makes a name from a file safe to store and to print: valid UTF-8,
// without control characters, which could steer the terminal of whoever reads
// the report. What cannot be printed becomes a question mark.
func Printable(name string) string {
	plain := true
	for i := 0; i < len(name) && plain; i++ {
		plain = ' ' <= name[i] && name[i] < 0x7f
	}
	if plain {
		return name
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}
