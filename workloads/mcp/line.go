package mcp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxLine is the longest message that is read, in bytes.
const MaxLine = 64 << 20

var errLineTooLong = errors.New("a message is too long")

// lines reads messages of up to limit bytes.
type lines struct {
	buffer *bufio.Reader
	limit  int
}

func newLines(from io.Reader, limit int) *lines {
	return &lines{bufio.NewReaderSize(from, 64<<10), limit}
}

// next returns the next line without its end, and when its first byte was there.
// At the end it is io.EOF, io.ErrUnexpectedEOF within a line, and errLineTooLong
// where a line is longer than is read.
func (l *lines) next() (line []byte, first time.Time, err error) {
	if _, err := l.buffer.Peek(1); err != nil {
		return nil, time.Time{}, err
	}
	first = time.Now()
	for {
		part, err := l.buffer.ReadSlice('\n')
		if len(line)+len(part) > l.limit {
			return nil, first, fmt.Errorf("%w: more than %d bytes", errLineTooLong, l.limit)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), first, nil
		case errors.Is(err, io.EOF):
			return nil, first, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, first, err
		}
	}
}
