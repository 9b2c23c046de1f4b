package sigmavault

import (
	"context"

	"github.com/narrows-profiler/narrows/workloads/transport"
)

// store is an interface of the service: how units get into it and come back. Whatever
// happens to one is in the answer, with the times of it.
type store interface {
	// write stores a unit and returns when it is durable.
	write(ctx context.Context, u *unit, content []byte) transport.Answer
	// read returns a unit's content as the answer's body, in the buffer if it fits. One
	// that fails may use the buffer even when it has returned.
	read(ctx context.Context, u *unit, buffer []byte) transport.Answer
	// drop makes the next read of a unit a cold one.
	drop(ctx context.Context, u *unit) error
	// remove deletes a unit, which may not be there.
	remove(ctx context.Context, u *unit) error
	// notes are what a reader of the numbers has to know of this interface.
	notes(ctx context.Context) []string
	// close lets go of it.
	close() error
}
