package lifecycle

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Stream is the flow of events from all CPUs. It is used by one goroutine.
type Stream struct {
	rings []*ring
	poll  []unix.PollFd
	lost  uint64
}

// Open starts the records on the given CPUs. It needs CAP_PERFMON (or
// CAP_SYS_ADMIN) and Linux 5.12, where mmap records learnt build IDs. PIDs are
// those of the caller's PID namespace.
func Open(cpus []int) (*Stream, error) {
	s := &Stream{}
	for _, cpu := range cpus {
		r, err := openRing(cpu)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.rings = append(s.rings, r)
		s.poll = append(s.poll, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
	}
	return s, nil
}

// Read waits until a ring is a quarter full or the timeout passes, then hands
// every waiting event to each. Undecodable records are joined into the error;
// the others are delivered all the same.
func (s *Stream) Read(timeout time.Duration, each func(Event)) error {
	if _, err := unix.Poll(s.poll, int(timeout.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("waiting for process records: %w", err)
	}
	var failures []error
	for _, r := range s.rings {
		err := r.drain(func(record []byte) {
			event, lost, ok, err := parse(record)
			s.lost += lost
			if err != nil {
				failures = append(failures, fmt.Errorf("decoding a process record: %w", err))
			} else if ok {
				each(event)
			}
		})
		if err != nil {
			failures = append(failures, fmt.Errorf("reading process records: %w", err))
		}
	}
	return errors.Join(failures...)
}

// Lost is the number of records the kernel could not write because a ring was full.
func (s *Stream) Lost() uint64 { return s.lost }

// Close ends the records.
func (s *Stream) Close() error {
	var failures []error
	for _, r := range s.rings {
		failures = append(failures, r.close())
	}
	s.rings, s.poll = nil, nil
	return errors.Join(failures...)
}
