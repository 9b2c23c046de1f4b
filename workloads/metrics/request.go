package metrics

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Request is one request of a benchmark as requests/<Benchmark>.ndjson keeps
// it, one JSON object a line; docs/schema/request.schema.json describes it.
// An instant that never came is nil.
type Request struct {
	// Index counts the measured requests from 0 in the order of their intended
	// starts. Lines are in the order of completion.
	Index int `json:"index"`
	// IntendedStart is when the schedule wanted the request to leave; latencies
	// are measured from here.
	IntendedStart Instant `json:"intended_start"`
	// Sent is when the request was handed to the client, before any dialling.
	Sent *Instant `json:"sent"`
	// FirstByte is the arrival of the first byte of the answer's header.
	FirstByte *Instant `json:"first_byte"`
	// FirstToken is the arrival of the first content that is not empty.
	FirstToken *Instant `json:"first_token"`
	// End is when the answer was complete or the request was given up.
	End Instant `json:"end"`
	// LocalPort is the client's TCP port, 0 when no connection was made.
	LocalPort int     `json:"local_port"`
	Outcome   Outcome `json:"outcome"`
	Error     string  `json:"error,omitempty"`
	// Tokens is the number of tokens generated, and TokensFrom where that
	// number comes from: "usage" (the service said so) or "chunks" (content
	// chunks were counted).
	Tokens     int    `json:"tokens"`
	TokensFrom string `json:"tokens_from,omitempty"`
	// Bytes is the number of bytes of the answer's body that were read.
	Bytes int64 `json:"bytes"`
}

// Instant is one moment on two clocks.
type Instant struct {
	// Time is the wall clock's time; it may jump.
	Time time.Time `json:"time"`
	// MonotonicNs is CLOCK_MONOTONIC in nanoseconds: the clock of the kernel's
	// bpf_ktime_get_ns, so profiles can be joined with requests on it.
	MonotonicNs int64 `json:"monotonic_ns"`
}

// Sub returns the monotonic time from u to i.
func (i Instant) Sub(u Instant) time.Duration {
	return time.Duration(i.MonotonicNs - u.MonotonicNs)
}

// Outcome says how a request ended. Besides the constants there is
// "http_<code>" for each HTTP status other than 200 and "errno_<name>" for each error
// of the operating system.
type Outcome string

// The outcomes of a request.
const (
	OK                  Outcome = "ok"
	Refused             Outcome = "connection_refused"
	Unreachable         Outcome = "unreachable"    // no connection, for another reason
	Reset               Outcome = "reset"          // the peer reset or closed the connection before an answer
	TimedOut            Outcome = "timeout"        // no complete answer in time
	Truncated           Outcome = "truncated"      // the answer stopped before its end mark
	Malformed           Outcome = "malformed"      // not the protocol
	TooLarge            Outcome = "too_large"      // an answer beyond the client's caps
	Empty               Outcome = "empty"          // a whole answer without content
	ServiceError        Outcome = "service_error"  // an error object inside a 200 answer
	InvalidAnswer       Outcome = "invalid_answer" // well-formed, but not what was asked for
	Canceled            Outcome = "canceled"       // the benchmark was stopped
	Dropped             Outcome = "dropped"        // never sent: the bound on requests in flight held it back until its timeout
	httpOutcomePrefix           = "http_"
	systemOutcomePrefix         = "errno_"
)

// HTTPOutcome returns the outcome of an answer with the given HTTP status.
func HTTPOutcome(status int) Outcome {
	return Outcome(fmt.Sprintf("%s%03d", httpOutcomePrefix, status))
}

// SystemOutcome returns the outcome of a system call that failed, such as
// "errno_enospc" for a full disk.
func SystemOutcome(number syscall.Errno) Outcome {
	name := unix.ErrnoName(number)
	if name == "" {
		name = fmt.Sprint(uintptr(number))
	}
	return Outcome(systemOutcomePrefix + strings.ToLower(name))
}

var codedOutcome = regexp.MustCompile(`^(` + httpOutcomePrefix + `[0-9]{3}|` + systemOutcomePrefix + `[0-9a-z]+)$`)

// Known reports whether o is an outcome of this schema version.
func (o Outcome) Known() bool {
	switch o {
	case OK, Refused, Unreachable, Reset, TimedOut, Truncated, Malformed, TooLarge,
		Empty, ServiceError, InvalidAnswer, Canceled, Dropped:
		return true
	}
	return codedOutcome.MatchString(string(o))
}

// Validate checks that the instants follow one another and that the outcome
// fits them.
func (r *Request) Validate() error {
	var errs []error
	if r.Index < 0 || r.LocalPort < 0 || r.LocalPort > 65535 || r.Tokens < 0 || r.Bytes < 0 {
		errs = append(errs, fmt.Errorf("request %d: index, port, tokens or bytes out of range", r.Index))
	}
	if !r.Outcome.Known() {
		errs = append(errs, fmt.Errorf("request %d: unknown outcome %q", r.Index, r.Outcome))
	}
	if r.Outcome == OK && (r.Sent == nil || r.FirstByte == nil || r.Error != "") {
		errs = append(errs, fmt.Errorf("request %d: outcome ok without an answer, or with an error", r.Index))
	}
	switch r.TokensFrom {
	case "usage", "chunks":
	case "":
		if r.Tokens != 0 {
			errs = append(errs, fmt.Errorf("request %d: tokens without tokens_from", r.Index))
		}
	default:
		errs = append(errs, fmt.Errorf("request %d: unknown tokens_from %q", r.Index, r.TokensFrom))
	}
	last := r.IntendedStart
	for _, next := range []*Instant{r.Sent, r.FirstByte, r.FirstToken, &r.End} {
		if next == nil {
			continue
		}
		if next.MonotonicNs < last.MonotonicNs {
			errs = append(errs, fmt.Errorf("request %d: its instants are out of order", r.Index))
			break
		}
		last = *next
	}
	return errors.Join(errs...)
}
