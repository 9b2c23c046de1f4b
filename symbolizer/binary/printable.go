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
	if Plain(name) {
		return name
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}

// Plain tells whether a name has nothing but printable ASCII characters, as nearly all have.
func Plain[T string | []byte](name T) bool {
	const (
		ones   = 0x0101010101010101
		tops   = 0x80 * ones
		space  = ' ' * ones
		delete = 0x7f * ones
	)
	i := 0
	for ; i+8 <= len(name); i += 8 { // eight at a time
		v := uint64(name[i]) | uint64(name[i+1])<<8 | uint64(name[i+2])<<16 | uint64(name[i+3])<<24 |
			uint64(name[i+4])<<32 | uint64(name[i+5])<<40 | uint64(name[i+6])<<48 | uint64(name[i+7])<<56
		if other := v ^ delete; ((v-space)|(other-ones)|v)&tops != 0 {
			return false
		}
	}
	for ; i < len(name); i++ {
		if name[i] < ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return true
}
