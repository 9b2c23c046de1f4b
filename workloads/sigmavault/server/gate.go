package server

import "context"

// gate bounds how many requests hold content in memory, and how many wait to.
type gate struct {
	places  chan struct{} // one for each that works or waits
	working chan struct{}
}

func newGate(working, waiting int) *gate {
	return &gate{make(chan struct{}, working+waiting), make(chan struct{}, working)}
}

// enter waits until few enough work; where as many wait as may it gives overloaded at
// once.
func (g *gate) enter(ctx context.Context) error {
	select {
	case g.places <- struct{}{}:
	default:
		return overloaded
	}
	select {
	case g.working <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-g.places
		return context.Cause(ctx)
	}
}

// leave gives the place back.
func (g *gate) leave() {
	<-g.working
	<-g.places
}
