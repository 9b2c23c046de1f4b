// Package plant is about bottlenecks that are known because they were put there: a
// reference service can be started with one fault, or with the same fault mended,
// so that a ranking can be asked whether it finds the fault, and a predicted gain
// whether mending brings it.
//
// Each service lists its [Fault]s; a command line such as "--plant slow-sampler" or
// "--plant slow-sampler=fixed" becomes a [Choice] by [Parse].
package plant

import (
	"fmt"
	"strings"
)

// Fault is one bottleneck that a service can be started with.
type Fault struct {
	Name string
	// Place is the function that a ranking should name, as a profile has it, such as
	// "server.(*index).scan". Through is a function that the stacks of the place go
	// through, where the place alone does not tell the fault from decent work.
	Place, Through string
	// Signal is what the fault shows in: CPU, Lock, OffCPU, Alloc or Leak.
	Signal Signal
	// Benchmark drives the service so that the fault matters, and Metric is the one
	// that mending it improves; empty for a leak, which is not slow until memory ends.
	Benchmark string
	Metric    string
	// Fault and Fix say in a sentence each what is done wrongly and what is done
	// instead.
	Fault, Fix string
}

// Signal is what has to be recorded for a fault to be seen.
type Signal string

// The signals.
const (
	CPU    Signal = "cpu"     // functions that use CPU time
	Lock   Signal = "lock"    // threads that wait for a lock, and who holds it
	OffCPU Signal = "off-cpu" // threads that wait for something else
	Alloc  Signal = "alloc"   // what memory costs: allocators, garbage collection, page faults
	Leak   Signal = "leak"    // memory that is never given back
)

// Choice is the fault that a service is started with; the zero value is none.
type Choice struct {
	Fault string
	Fixed bool
}

// Has reports whether the fault is planted and not mended.
func (c Choice) Has(name string) bool { return name != "" && c.Fault == name && !c.Fixed }

// Mended reports whether the fault was asked for with its fix.
func (c Choice) Mended(name string) bool { return c.Fault == name && c.Fixed }

// String is the choice as Parse reads it.
func (c Choice) String() string {
	if c.Fixed {
		return c.Fault + fixedSuffix
	}
	return c.Fault
}

const fixedSuffix = "=fixed"

// Parse reads NAME or NAME=fixed; an empty text is no choice.
func Parse(text string, faults []Fault) (Choice, error) {
	if text == "" {
		return Choice{}, nil
	}
	name, fixed := strings.CutSuffix(text, fixedSuffix)
	var names []string
	for _, f := range faults {
		if f.Name == name {
			return Choice{name, fixed}, nil
		}
		names = append(names, f.Name)
	}
	return Choice{}, fmt.Errorf("there is no fault %q to plant; there are: %s, each also with %s", text, strings.Join(names, ", "), fixedSuffix)
}
