package lifecycle

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Stream is the flow of events from all CPUs. It is used by one goroutine, but for
// Wake.
type Stream struct {
	rings []*ring
	poll  []unix.PollFd // the last is for Wake
	wake  int           // an eventfd, 0 if there is none
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
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening an eventfd: %w", err), s.Close())
	}
	s.wake = wake
	s.poll = append(s.poll, unix.PollFd{Fd: int32(wake), Events: unix.POLLIN})
	return s, nil
}

// Wake ends a wait that is going on, or the next one: someone needs the events now. It
// may be called by any goroutine until Close.
func (s *Stream) Wake() error {
	one := [8]byte{1}
	if _, err := unix.Write(s.wake, one[:]); err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("waking the reader of process records: %w", err)
	}
	return nil
}

// Read waits until a ring is a quarter full or the timeout passes, then hands
// every waiting event to each. Undecodable records are joined into the error;
// the others are delivered all the same.
func (s *Stream) Read(timeout time.Duration, each func(Event)) error {
	if err := s.Wait(timeout); err != nil {
		return err
	}
	return s.Drain(each)
}

// Wait waits until a ring is a quarter full, the timeout passes, or Wake is called.
func (s *Stream) Wait(timeout time.Duration) error {
	if _, err := unix.Poll(s.poll, int(timeout.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("waiting for process records: %w", err)
	}
	var calls [8]byte
	if _, err := unix.Read(s.wake, calls[:]); err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("waiting for process records: %w", err)
	}
	return nil
}

// Drain hands every event that happened before the call to each, like Read.
func (s *Stream) Drain(each func(Event)) error {
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
	if s.wake != 0 {
		failures = append(failures, unix.Close(s.wake))
	}
	s.rings, s.poll, s.wake = nil, nil, 0
	return errors.Join(failures...)
}
