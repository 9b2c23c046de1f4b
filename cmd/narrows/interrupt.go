package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interruption is the cause of a context that a signal ended: somebody asked for
// an early end, and what was recorded until then is kept.
type interruption struct{ signal syscall.Signal }

func (i interruption) Error() string {
	if i.signal == syscall.SIGINT {
		return "ended early by Ctrl-C"
	}
	return fmt.Sprintf("ended early by signal %d (%v)", int(i.signal), i.signal)
}

// status is what a shell reports of a program that this signal ended.
func (i interruption) status() int { return 128 + int(i.signal) }

// withInterruption returns a context that SIGINT, SIGTERM and SIGHUP end, with an
// interruption as its cause. A second signal ends the process at once: whoever
// sends it does not want to wait for what is being kept. Under nohup(1) SIGHUP is
// left ignored.
func withInterruption(parent context.Context) (_ context.Context, stop func()) {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancelCause(parent)
	received := make(chan os.Signal, 1)
	signal.Notify(received, signals...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-received:
			signal.Reset(signals...)
			cancel(interruption{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(received)
		cancel(context.Canceled)
		<-ended
	}
}

// onlyInterruption tells whether nothing but an early end on request is in an
// error: a failure that happened meanwhile must not hide behind it.
func onlyInterruption(err error) bool {
	switch err := err.(type) {
	case interruption:
		return true
	case interface{ Unwrap() []error }:
		for _, part := range err.Unwrap() {
			if !onlyInterruption(part) {
				return false
			}
		}
		return true
	}
	return err == context.Canceled || errors.Unwrap(err) != nil && onlyInterruption(errors.Unwrap(err))
}
