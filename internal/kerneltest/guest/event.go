package guest

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Kind says what an [Event] reports.
type Kind string

// The kinds of events, in the order in which they come. Alive comes in between, every [AlivePeriod].
const (
	Up     Kind = "up"     // the machine runs; Release is set
	Begin  Kind = "begin"  // Package starts
	Output Kind = "output" // Package wrote Output to its standard output or error
	End    Kind = "end"    // Package ended: ExitCode, Elapsed, and Reason if it was not an ordinary exit
	Done   Kind = "done"   // all packages ended
	Alive  Kind = "alive"  // nothing new, but the kernel still schedules
)

// AlivePeriod is how often a machine says that it is alive.
const AlivePeriod = 5 * time.Second

// Event is one line from the machine.
type Event struct {
	Kind     Kind          `json:"kind"`
	Release  string        `json:"release,omitempty"` // uname -r
	Package  string        `json:"package,omitempty"`
	Output   []byte        `json:"output,omitempty"`
	ExitCode int           `json:"exit_code,omitempty"` // -1 after a signal
	Reason   string        `json:"reason,omitempty"`
	Elapsed  time.Duration `json:"elapsed_ns,omitempty"` // by the machine's own clock
}

// sender writes events, from several goroutines. It keeps the first error and writes nothing after it.
type sender struct {
	mu  sync.Mutex
	out io.Writer
	err error
}

func (s *sender) send(event Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	line, err := json.Marshal(event)
	if err == nil {
		_, err = s.out.Write(append(line, '\n'))
	}
	if err != nil {
		s.err = fmt.Errorf("sending an event: %w", err)
	}
}

func (s *sender) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// output is the standard output of one package's binary.
type output struct {
	to   *sender
	name string
}

// Write sends p as one event.
func (o output) Write(p []byte) (int, error) {
	o.to.send(Event{Kind: Output, Package: o.name, Output: p})
	return len(p), o.to.failure()
}
