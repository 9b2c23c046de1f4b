package mangled

import (
	"math/bits"
	"strings"
)

// hashed is the end of names of Rust's older kind: a hash, as if it were the last name.
const hashed = 20 // 17h, 16 digits, E

// rustlike tells whether a name ends as those of Rust's older kind.
func rustlike(name string) bool {
	if !strings.HasPrefix(name, "_ZN") {
		return false
	}
	if at := strings.LastIndex(name, "E."); at > 0 {
		name = name[:at+1]
	}
	return len(name) > hashed+3 && name[len(name)-1] == 'E' && strings.HasPrefix(name[len(name)-hashed:], "17h")
}

// rust reads a name of Rust's older kind.
func (r *Reader) rust() {
	name := r.name
	if at := strings.LastIndex(name, "E."); at > 0 {
		name = name[:at+1]
	}
	seen := uint16(0)
	for _, c := range []byte(name[len(name)-hashed+3 : len(name)-1]) {
		d, ok := hexadecimal(c)
		if !ok {
			r.refuse()
			return
		}
		seen |= 1 << d
	}
	if bits.OnesCount16(seen) < 5 { // a hash has more different digits
		r.refuse()
		return
	}
	for rest := name[3 : len(name)-hashed]; rest != ""; {
		n := 0
		for ; rest != "" && digit(rest[0]); rest = rest[1:] {
			n = min(n*10+int(rest[0]-'0'), maxText)
		}
		if rest != "" && rest[0] == '_' { // it keeps the number from what follows
			rest, n = rest[1:], n-1
		}
		if n <= 0 || n > len(rest) {
			r.refuse()
			return
		}
		if len(r.text) > 0 {
			r.write("::")
		}
		id := rest[:n]
		if strings.HasPrefix(id, "_$") {
			id = id[1:]
		}
		if !r.rustPart(id) {
			r.refuse()
			return
		}
		rest = rest[n:]
	}
	r.at = len(r.name)
}

// rustPart writes one name, and says whether it knows what stands for other characters.
func (r *Reader) rustPart(id string) bool {
	for id != "" {
		plain := strings.IndexAny(id, "$.")
		if plain < 0 {
			plain = len(id)
		}
		if r.write(id[:plain]); plain == len(id) {
			return true
		}
		if id = id[plain:]; id[0] == '.' {
			if strings.HasPrefix(id, "..") {
				r.write("::")
				id = id[2:]
			} else {
				r.write(".")
				id = id[1:]
			}
			continue
		}
		end := strings.IndexByte(id[1:], '$')
		if end < 0 || !r.rustCharacter(id[1:1+end]) {
			return false
		}
		id = id[end+2:]
	}
	return true
}

// rustCharacter writes the character that a code stands for.
func (r *Reader) rustCharacter(code string) bool {
	c := byte(0)
	switch code {
	case "C":
		c = ','
	case "SP":
		c = '@'
	case "BP":
		c = '*'
	case "RF":
		c = '&'
	case "LT":
		c = '<'
	case "GT":
		c = '>'
	case "LP":
		c = '('
	case "RP":
		c = ')'
	default:
		if len(code) != 3 || code[0] != 'u' {
			return false
		}
		high, ok := hexadecimal(code[1])
		low, also := hexadecimal(code[2])
		if c = high<<4 | low; !ok || !also || high > 7 || c < ' ' {
			return false
		}
	}
	r.text = append(r.text, c)
	return true
}

func hexadecimal(c byte) (byte, bool) {
	switch {
	case digit(c):
		return c - '0', true
	case c-'a' < 6:
		return c - 'a' + 10, true
	}
	return 0, false
}
