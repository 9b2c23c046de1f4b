package load

import "sync"

// Mixed is the phase while no request is in flight, or more than one: what runs
// then cannot be charged to one stage of one request.
const Mixed = "mixed"

// Phases names what the service is doing by the requests in flight: the phase
// of the only one, else [Mixed]. It is seen from the client; a service that goes
// on with a request its client gave up is not noticed. All methods may be called
// from many goroutines.
type Phases struct {
	mutex    sync.Mutex
	mark     func(phase string)
	inFlight map[int]string
	current  string
}

// NewPhases returns Phases that begin as Mixed and call mark at each change, in
// order, while the change is made; mark has to return quickly.
func NewPhases(mark func(phase string)) *Phases {
	p := &Phases{mark: mark, inFlight: make(map[int]string), current: Mixed}
	mark(Mixed)
	return p
}

// Enter puts a request, in flight from now on unless it already is, into phase.
func (p *Phases) Enter(request int, phase string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.inFlight[request] = phase
	p.update()
}

// Leave says that a request is over.
func (p *Phases) Leave(request int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.inFlight, request)
	p.update()
}

func (p *Phases) update() {
	phase := Mixed
	if len(p.inFlight) == 1 {
		for _, only := range p.inFlight {
			phase = only
		}
	}
	if phase != p.current {
		p.current = phase
		p.mark(phase)
	}
}
