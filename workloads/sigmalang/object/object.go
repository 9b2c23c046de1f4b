// Package object reads and writes JSON objects whose strings are long. Requests to
// compress text are such, and encoding/json would take as long to read a text of
// megabytes as it takes to compress it. [Members] splits an object into its
// members; [Unquote] and [AppendQuoted] are for the strings.
package object

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// mostMembers bounds an object that is read.
const mostMembers = 64

// Members returns the members of a JSON object as they are written, by name. What
// is not one JSON object, and nothing else, is an error; so is one that has two
// members of one name.
func Members(text []byte) (map[string][]byte, error) {
	s := scanner{text: text}
	members, err := s.object()
	if err != nil {
		return nil, fmt.Errorf("reading a JSON object: byte %d: %w", s.at, err)
	}
	return members, nil
}

// scanner goes through an object.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) object() (map[string][]byte, error) {
	if !s.take('{') {
		return nil, errors.New("it does not begin with {")
	}
	members := make(map[string][]byte, 4)
	for count := 0; !s.take('}'); count++ {
		if count > 0 && !s.take(',') {
			return nil, errors.New("neither a comma nor the end is there")
		}
		if count == mostMembers {
			return nil, fmt.Errorf("it has more than %d members", mostMembers)
		}
		s.space()
		quoted, err := s.quoted()
		if err != nil {
			return nil, err
		}
		name, err := Unquote(nil, quoted)
		if err != nil {
			return nil, err
		}
		if !s.take(':') {
			return nil, errors.New("no colon is there")
		}
		value, err := s.value()
		if err != nil {
			return nil, err
		}
		if _, ok := members[string(name)]; ok {
			return nil, fmt.Errorf("there are two members %.50q", name)
		}
		members[string(name)] = value
	}
	if s.space(); s.at != len(s.text) {
		return nil, errors.New("something follows the object")
	}
	return members, nil
}

func (s *scanner) space() {
	for s.at < len(s.text) && bytes.IndexByte([]byte(" \t\r\n"), s.text[s.at]) >= 0 {
		s.at++
	}
}

// take skips space and a byte, if that one comes.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// plain reports whether a byte stands for itself in a string.
func plain(c byte) bool { return c >= ' ' && c != '"' && c != '\\' }

// others sets the top bit of the first byte of eight that does not stand for
// itself, and perhaps of later ones: subtracting from a byte borrows from its top
// bit where it is less, and from the bytes after it.
func others(eight uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, backslash := eight^'"'*ones, eight^'\\'*ones
	return ((eight-' '*ones)&^eight | (quote-ones)&^quote | (backslash-ones)&^backslash) & tops
}

// quoted returns a string with its quotes. What is between them is for Unquote to
// check.
func (s *scanner) quoted() ([]byte, error) {
	start := s.at
	if s.at >= len(s.text) || s.text[s.at] != '"' {
		return nil, errors.New("no string is there")
	}
	for s.at++; ; s.at++ {
		next := bytes.IndexByte(s.text[s.at:], '"')
		if next < 0 {
			s.at = len(s.text)
			return nil, errors.New("a string does not end")
		}
		s.at += next
		escapes := 0
		for s.text[s.at-1-escapes] == '\\' { // the opening quote is none
			escapes++
		}
		if escapes%2 == 0 {
			s.at++
			return s.text[start:s.at], nil
		}
	}
}

// value returns a value of any kind, checked but for what is within a string.
func (s *scanner) value() ([]byte, error) {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == '"' {
		return s.quoted()
	}
	start, depth := s.at, 0
	for s.at < len(s.text) {
		c := s.text[s.at]
		if depth == 0 && (c == ',' || c == '}') {
			break
		}
		switch c {
		case '"':
			if _, err := s.quoted(); err != nil {
				return nil, err
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.at++
	}
	value := bytes.TrimRight(s.text[start:s.at], " \t\r\n")
	if !json.Valid(value) {
		return nil, errors.New("a value is none")
	}
	return value, nil
}

var (
	errQuotes = errors.New("not a string in quotes")
	errEscape = errors.New("a string has an escape that is none")
	errUTF8   = errors.New("a string is not UTF-8")
)

// Unquote appends what a JSON string says to into. Where encoding/json would replace
// what is no text (bytes that are not UTF-8, halves of surrogate pairs) it is an
// error: that is not what was written.
func Unquote(into, quoted []byte) ([]byte, error) {
	if len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
		return nil, errQuotes
	}
	text := quoted[1 : len(quoted)-1]
	if !utf8.Valid(text) {
		return nil, errUTF8
	}
	// Eight bytes are copied at a time, of which those count that are plain.
	begin := len(into)
	into = slices.Grow(into, len(text)+8)
	room, out := into[begin:cap(into)], 0
	for at := 0; at < len(text); {
		if at+8 <= len(text) {
			eight := binary.LittleEndian.Uint64(text[at:])
			binary.LittleEndian.PutUint64(room[out:], eight)
			found := others(eight)
			if found == 0 {
				at, out = at+8, out+8
				continue
			}
			n := bits.TrailingZeros64(found) / 8
			at, out = at+n, out+n
		} else if plain(text[at]) {
			room[out] = text[at]
			at, out = at+1, out+1
			continue
		}
		if text[at] != '\\' || at+1 == len(text) {
			return nil, errEscape
		}
		if c := escaped[text[at+1]]; c != 0 {
			room[out] = c
			at, out = at+2, out+1
			continue
		}
		r, width := unescape(text[at:])
		if width == 0 {
			return nil, errEscape
		}
		at, out = at+width, out+utf8.EncodeRune(room[out:], r)
	}
	return into[:begin+out], nil
}

// escaped are the characters behind escapes of two bytes.
var escaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape reads \uXXXX, or two of them that are one character; width is 0 for
// anything else.
func unescape(text []byte) (r rune, width int) {
	first, ok := hexadecimal(text)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := hexadecimal(text[6:])
	if r = utf16.DecodeRune(first, second); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

func hexadecimal(text []byte) (r rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for _, c := range text[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// AppendQuoted appends a text as a JSON string. The text must be UTF-8.
func AppendQuoted(into, text []byte) []byte {
	into = append(into, '"')
	for at := 0; at < len(text); {
		// As in Unquote; room is made for eight bytes and an escape.
		into = slices.Grow(into, min(len(text)-at, 4096)+16)
		room, out := into[len(into):cap(into)], 0
		for at < len(text) && out+16 <= len(room) {
			if at+8 <= len(text) {
				eight := binary.LittleEndian.Uint64(text[at:])
				binary.LittleEndian.PutUint64(room[out:], eight)
				found := others(eight)
				if found == 0 {
					at, out = at+8, out+8
					continue
				}
				n := bits.TrailingZeros64(found) / 8
				at, out = at+n, out+n
			} else if plain(text[at]) {
				room[out] = text[at]
				at, out = at+1, out+1
				continue
			}
			out += escape(room[out:], text[at])
			at++
		}
		into = into[:len(into)+out]
	}
	return append(into, '"')
}

// escape writes a byte that does not stand for itself and returns how long it is
// then, at most 6 bytes.
func escape(room []byte, c byte) int {
	const digits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return copy(room, []byte{'\\', c})
	case '\n':
		return copy(room, `\n`)
	case '\t':
		return copy(room, `\t`)
	case '\r':
		return copy(room, `\r`)
	}
	return copy(room, []byte{'\\', 'u', '0', '0', digits[c>>4], digits[c&15]})
}
