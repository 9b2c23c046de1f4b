package index

import (
	"bytes"
	"testing"
)

// TestControlCharacters looks at each byte at each place of a string.
func TestControlCharacters(t *testing.T) {
	for length := 1; length <= 20; length++ {
		for at := range length {
			for c := range 256 {
				data := bytes.Repeat([]byte{'~'}, length)
				data[at] = byte(c)
				if got, want := steers(data), c < ' ' || c == 0x7f; got != want {
					t.Fatalf("byte %#x at %d of %d: %t, want %t", c, at, length, got, want)
				}
			}
		}
	}
}

// TestStringsStayWhatTheyWere checks that strings that share memory are not overwritten.
func TestStringsStayWhatTheyWere(t *testing.T) {
	var texts text
	var made, want []string
	for i := range 5_000 {
		data := bytes.Repeat([]byte{'a' + byte(i%26)}, i%(longText+100))
		s, err := texts.add(data)
		if err != nil {
			t.Fatal(err)
		}
		made, want = append(made, s), append(want, string(data))
		clear(data)
	}
	for i := range made {
		if made[i] != want[i] {
			t.Fatalf("string %d is %q, want %q", i, made[i], want[i])
		}
	}
}
