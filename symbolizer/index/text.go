package index

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// A text makes strings of bytes. Many share an allocation: an index is asked for
// hundreds of thousands, of which one profile is made.
type text struct {
	room strings.Builder
	size int
}

const (
	fewestText = 256
	mostText   = 16 << 10
	longText   = 1 << 10 // longer ones are allocated by themselves
)

// add returns the bytes as a string. It refuses what a Builder never writes: control
// characters, which could steer a terminal.
func (t *text) add(data []byte) (string, error) {
	if steers(data) {
		return "", fmt.Errorf("a string with control characters: %w", ErrDamaged)
	}
	if len(data) > longText {
		return string(data), nil
	}
	if t.room.Cap()-t.room.Len() < len(data) {
		t.size = min(max(2*t.size, fewestText), mostText)
		t.room.Reset()
		t.room.Grow(max(t.size, len(data)))
	}
	at := t.room.Len()
	t.room.Write(data)
	return t.room.String()[at:], nil
}

// steers tells whether there are control characters among the bytes, eight at a time.
func steers(data []byte) bool {
	const (
		ones   = 0x0101010101010101
		tops   = 0x80 * ones
		space  = ' ' * ones
		delete = 0x7f * ones
	)
	for ; len(data) >= 8; data = data[8:] {
		v := binary.LittleEndian.Uint64(data)
		other := v ^ delete
		if ((v-space)&^v|(other-ones)&^other)&tops != 0 {
			return true
		}
	}
	for _, c := range data {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}
