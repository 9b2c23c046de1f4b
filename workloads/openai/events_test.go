package openai

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// readAll returns each event as "type|data", and the error that ended them.
func readAll(source io.Reader) (events []string, err error) {
	reader := NewReader(source)
	for {
		event, err := reader.Next()
		if err != nil {
			return events, err
		}
		events = append(events, event.Type+"|"+string(event.Data))
	}
}

// The cases follow the standard's grammar and its own examples' shapes.
func TestReader(t *testing.T) {
	for name, test := range map[string]struct {
		stream string
		want   []string
		err    error
	}{
		"one":                     {"data: a\n\n", []string{"|a"}, io.EOF},
		"CRLF":                    {"data: a\r\n\r\ndata: b\r\n\r\n", []string{"|a", "|b"}, io.EOF},
		"CR":                      {"data: a\r\rdata: b\r\r", []string{"|a", "|b"}, io.EOF},
		"mixed ends":              {"data: a\r\n\ndata: b\r\n\rdata: c\n\r\n", []string{"|a", "|b", "|c"}, io.EOF},
		"several data lines":      {"data: a\ndata: b\ndata\n\n", []string{"|a\nb\n"}, io.EOF},
		"no space":                {"data:a\n\n", []string{"|a"}, io.EOF},
		"one space is taken":      {"data:  a\n\n", []string{"| a"}, io.EOF},
		"comments":                {": hello\n\n:\ndata: a\n: more\n\n", []string{"|a"}, io.EOF},
		"byte order mark":         {"\xef\xbb\xbfdata: a\n\n", []string{"|a"}, io.EOF},
		"mark only at the start":  {"data: a\n\n\xef\xbb\xbfdata: b\n\n", []string{"|a"}, io.EOF},
		"type":                    {"event: error\ndata: a\n\ndata: b\n\n", []string{"error|a", "|b"}, io.EOF},
		"type without data":       {"event: ping\n\ndata: b\n\n", []string{"|b"}, io.EOF},
		"unknown fields":          {"id: 1\nretry: 5\ncolour: red\nnonsense\ndata: a\n\n", []string{"|a"}, io.EOF},
		"empty data is an event":  {"data:\n\n", []string{"|"}, io.EOF},
		"cut in data":             {"data: a\n\ndata: b", []string{"|a"}, io.ErrUnexpectedEOF},
		"cut before the end line": {"data: a\n\ndata: b\n", []string{"|a"}, io.ErrUnexpectedEOF},
		"nothing":                 {"", nil, io.EOF},
		"colon inside":            {"data: a: b\n\n", []string{"|a: b"}, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			for way, source := range map[string]io.Reader{
				"at once":       strings.NewReader(test.stream),
				"byte by byte":  iotest.OneByteReader(strings.NewReader(test.stream)),
				"end with data": iotest.DataErrReader(strings.NewReader(test.stream)),
			} {
				events, err := readAll(source)
				if difference := cmp.Diff(test.want, events); difference != "" || !errors.Is(err, test.err) {
					t.Errorf("%s: %v: %s", way, err, difference)
				}
			}
		})
	}
}

func TestReaderCaps(t *testing.T) {
	long := strings.Repeat("x", MaxEvent)
	for name, source := range map[string]io.Reader{
		"long line":      strings.NewReader("data: " + long + "\n\n"),
		"endless line":   endless("x"),
		"endless data":   endless("data: x\n"),
		"endless fields": endless("id: x\n"),
		"endless events": endless("data: x\n\n"),
		"endless breaks": endless("\n"),
	} {
		reader := NewReader(source)
		reader.maxStream = 4 << 20
		var err error
		for err == nil {
			_, err = reader.Next()
		}
		if !errors.Is(err, ErrTooLarge) || reader.Bytes() > reader.maxStream {
			t.Errorf("%s: %v after %d bytes", name, err, reader.Bytes())
		}
	}
	fits := strings.Repeat("x", MaxEvent-100)
	if events, _ := readAll(strings.NewReader("data: " + fits + "\n\n" + "data: " + fits + "\n\n")); len(events) != 2 {
		t.Errorf("%d events just below the cap, want 2", len(events))
	}
	if _, err := readAll(stuck{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source without bytes and without an error: %v", err)
	}
}

// endless repeats a text for ever.
type endless string

func (e endless) Read(p []byte) (int, error) {
	if len(p) < len(e) {
		return copy(p, e[:len(p)]), nil
	}
	return copy(p, bytes.Repeat([]byte(e), len(p)/len(e))), nil
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// FuzzReader checks that events do not depend on how the bytes arrive, and that
// without CR, comments and marks they are what splitting the text gives.
func FuzzReader(f *testing.F) {
	f.Add([]byte("data: a\r\n\r\n: c\n\ndata: b\ndata: c\n\n"), 3)
	f.Add([]byte("\xef\xbb\xbfevent: x\rdata\r\r"), 1)
	f.Add([]byte("data: {\"choices\":[]}\n\ndata: [DONE]\n\n"), 7)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		whole, wholeErr := readAll(bytes.NewReader(stream))
		pieces, piecesErr := readAll(&pieceReader{stream, max(size%64, 1)})
		if !slices.Equal(whole, pieces) || wholeErr.Error() != piecesErr.Error() {
			t.Fatalf("at once %q (%v), in pieces %q (%v)", whole, wholeErr, pieces, piecesErr)
		}
		if bytes.ContainsAny(stream, "\r\xef") || len(stream) > MaxEvent {
			return
		}
		if want := split(string(stream)); !slices.Equal(whole, want) {
			t.Fatalf("read %q, splitting gives %q", whole, want)
		}
	})
}

// split reads a stream of LF lines the plain way.
func split(stream string) (events []string) {
	blocks := strings.Split(stream, "\n")
	var data []string
	kind := ""
	for _, line := range blocks[:len(blocks)-1] {
		if line == "" {
			if data != nil {
				events = append(events, kind+"|"+strings.Join(data, "\n"))
			}
			data, kind = nil, ""
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data = append(data, value)
		case "event":
			kind = value
		}
	}
	return events
}

type pieceReader struct {
	rest []byte
	size int
}

func (p *pieceReader) Read(into []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	count := copy(into, p.rest[:min(p.size, len(p.rest))])
	p.rest = p.rest[count:]
	return count, nil
}
