package openai

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// Caps on one stream of events, in bytes. A token's chunk is some 200 bytes.
const (
	MaxEvent  = 1 << 20
	MaxStream = 64 << 20
)

// bufferSize is for one read; net/http hands on no more at a time. Each answer has a
// buffer of its own, and a generator that allocates much collects garbage where it
// should send.
const bufferSize = 4 << 10

// ErrTooLarge is wrapped by errors about an event or a stream beyond its cap.
var ErrTooLarge = errors.New("beyond the size cap")

// Event is one server-sent event.
type Event struct {
	// Type is the event field's value, empty for the default type.
	Type string
	// Data is the data fields' values joined by newlines, valid until the next
	// call of Next.
	Data []byte
	// At is when the read returned that brought the event's last byte. Time
	// spent on earlier events of the same read is not in it.
	At time.Time
}

// Reader reads server-sent events (WHATWG HTML, section 9.2.6 "Interpreting an
// event stream"): lines end in LF, CRLF or CR, an empty line ends an event, a
// leading byte order mark and comments are skipped, and an event that the
// stream's end cuts off is not given.
type Reader struct {
	source    io.Reader
	maxEvent  int
	maxStream int64

	buffer  []byte // what was read last
	unread  []byte // the part of buffer not looked at yet
	at      time.Time
	total   int64
	line    []byte
	afterCR bool // the last line ended in CR: a following LF belongs to it
	started bool // the byte order mark can no longer come
	pending int  // bytes of the event being read

	data    []byte
	hasData bool
	kind    string
}

// NewReader returns a Reader of source with the caps MaxEvent and MaxStream.
func NewReader(source io.Reader) *Reader {
	return &Reader{source: source, maxEvent: MaxEvent, maxStream: MaxStream, buffer: make([]byte, bufferSize)}
}

// Bytes returns how many bytes were read from the source.
func (r *Reader) Bytes() int64 { return r.total }

// Next returns the next event with data. It returns io.EOF at the end of the
// stream, io.ErrUnexpectedEOF when the end cuts an event off, an error wrapping
// [ErrTooLarge], or the source's error.
func (r *Reader) Next() (Event, error) {
	r.data, r.hasData, r.kind, r.pending = r.data[:0], false, "", 0
	for {
		line, err := r.nextLine()
		if err != nil {
			if errors.Is(err, io.EOF) && (r.hasData || len(r.line) > 0) {
				err = io.ErrUnexpectedEOF
			}
			return Event{}, err
		}
		if len(line) == 0 {
			if r.hasData {
				return Event{Type: r.kind, Data: r.data, At: r.at}, nil
			}
			r.kind, r.pending = "", 0
			continue
		}
		r.field(line)
	}
}

// field takes one line that is not empty into the event being read.
func (r *Reader) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if r.hasData {
			r.data = append(r.data, '\n')
		}
		r.data = append(r.data, value...)
		r.hasData = true
	case "event":
		r.kind = string(value)
	}
	// Comments (an empty name), id, retry and unknown fields change nothing here.
}

// nextLine returns the next line without its end, valid until the next call.
func (r *Reader) nextLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		if len(r.unread) == 0 {
			if err := r.fill(); err != nil {
				return nil, err
			}
		}
		if r.afterCR {
			r.afterCR = false
			if r.unread[0] == '\n' {
				r.unread = r.unread[1:]
				continue
			}
		}
		end := bytes.IndexAny(r.unread, "\r\n")
		part := r.unread
		if end >= 0 {
			part = r.unread[:end]
			r.pending++ // an endless row of empty fields must end as well
		}
		if r.pending += len(part); r.pending > r.maxEvent {
			return nil, fmt.Errorf("an event of more than %d bytes: %w", r.maxEvent, ErrTooLarge)
		}
		r.line = append(r.line, part...)
		if end < 0 {
			r.unread = nil
			continue
		}
		r.afterCR = r.unread[end] == '\r'
		r.unread = r.unread[end+1:]
		if !r.started {
			r.started = true
			r.line = bytes.TrimPrefix(r.line, []byte("\xef\xbb\xbf"))
		}
		return r.line, nil
	}
}

// fill reads more bytes from the source and notes when they came.
func (r *Reader) fill() error {
	if r.total >= r.maxStream {
		return fmt.Errorf("a stream of more than %d bytes: %w", r.maxStream, ErrTooLarge)
	}
	const attempts = 100
	for range attempts {
		count, err := r.source.Read(r.buffer[:min(int64(len(r.buffer)), r.maxStream-r.total)])
		r.at = time.Now()
		r.total += int64(count)
		r.unread = r.buffer[:count]
		if count > 0 {
			// An error that came with bytes comes again with the next read.
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}
