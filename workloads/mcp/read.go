package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// read gives each answer to the request that waits for it, until the service says
// no more. What is no answer to a request is passed over: notifications, requests
// of the service's own, late answers, and lines that are not JSON-RPC at all, such
// as a log message.
func (c *Client) read(limit int) {
	from := newLines(c.output, limit)
	for {
		line, first, err := from.next()
		end := time.Now()
		if err != nil {
			c.fail(ended(err))
			return
		}
		var m message
		if json.Unmarshal(line, &m) != nil || m.Method != "" {
			continue
		}
		if replies := c.asker(m); replies != nil {
			replies <- reply{message: m, first: first, end: end}
		}
	}
}

// asker returns where an answer is waited for, nil for nowhere. A second answer to
// a request is one too many.
func (c *Client) asker(m message) chan<- reply {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	id, err := strconv.ParseInt(string(m.ID), 10, 64)
	if (len(m.ID) == 0 || string(m.ID) == "null") && m.Error != nil && len(c.waiting) == 1 {
		// A service that could not read a request does not know its number.
		for id = range c.waiting {
			err = nil
		}
	}
	if err != nil {
		return nil
	}
	replies := c.waiting[id]
	delete(c.waiting, id)
	return replies
}

// ended says what the end of the service's output means for those who wait.
func ended(err error) fault {
	switch {
	case errors.Is(err, errLineTooLong):
		return fault{metrics.TooLarge, err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault{metrics.Truncated, errors.New("the service ended in the middle of a message")}
	case errors.Is(err, io.EOF):
		return fault{metrics.Reset, errors.New("the service closed its output")}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
		return fault{metrics.Canceled, errors.New("the connection to the service was closed")}
	}
	return fault{metrics.Reset, fmt.Errorf("reading what the service says: %w", err)}
}

// take fills an answer with what came.
func take(answer *transport.Answer, r reply, method string) {
	switch {
	case r.fault != nil:
		answer.Fail(r.fault.outcome, fmt.Errorf("waiting for the answer to %s: %w", method, r.fault.err))
	case r.Version != jsonrpc:
		answer.Fail(metrics.Malformed, fmt.Errorf("the answer to %s is of JSON-RPC %.20q", method, r.Version))
	case r.Error != nil:
		answer.Fail(metrics.ServiceError, fmt.Errorf("%s failed with error %d: %s", method, r.Error.Code, transport.Excerpt([]byte(r.Error.Message))))
	case r.Result == nil:
		answer.Fail(metrics.Malformed, fmt.Errorf("the answer to %s has neither a result nor an error", method))
	default:
		answer.Outcome, answer.Body = metrics.OK, r.Result
	}
}

// write sends a line. A line that is given up while it is written leaves the
// service with half of it, so nothing can follow.
func (c *Client) write(ctx context.Context, line []byte) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ending(ctx)
	}
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(late)
		if c.deadline(time.Unix(1, 0)) != nil {
			_ = c.input.Close() // what it says, the write will say too
		}
	})
	n, err := c.input.Write(line)
	if !stop() {
		<-late
		// Unless half a line is out, another one may follow.
		if (n == 0 || err == nil) && c.deadline(time.Time{}) == nil && n == 0 {
			return ending(ctx)
		}
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ending(ctx)
	}
	c.fail(fault{metrics.Reset, fmt.Errorf("an earlier message could not be sent: %w", err)})
	return err
}

// deadline is until when what is written may wait to be read.
func (c *Client) deadline(at time.Time) error {
	d, ok := c.input.(interface{ SetWriteDeadline(time.Time) error })
	if !ok {
		return os.ErrNoDeadline
	}
	return d.SetWriteDeadline(at)
}

// ending is why a context ended, as an error that is ctx.Err() too.
func ending(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}
