package sigmavault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

const (
	// An iteration is to be about so much work.
	iterationWork = 18 * time.Millisecond
	// mostReads and mostRounds bound the reads of each of an iteration's readers and the
	// writes of each of its writers.
	mostReads, mostRounds = 96, 8
	// Readers is how many clients restore a context together, Writers how many save one.
	Readers, Writers = 2, 8
)

// scale is how much there is in a benchmark.
type scale struct {
	// largest bounds a unit, in bytes.
	largest int
	// library is how many units are there to be read, and cold how many of them are read
	// cold alone.
	library, cold int
	// stock is how many small units are there already when contexts are saved, if the
	// service takes them within stockTime: a store in use is not empty.
	stock int
}

func fullScale() scale { return scale{largest: 256 << 10, library: 128, cold: 32, stock: 2000} }

const stockTime = 2 * time.Second

// driver is what both benchmarks share.
type driver struct {
	scale
	store  store
	units  *units
	phases *load.Phases // nil in the warm-up
	// operations is how many an iteration has, of each writer or reader.
	operations int
	most       int

	mutex sync.Mutex
	seen  map[int]observation
	made  []*unit // to be removed at the end

	buffers buffers // for what is read

	samples samples // empty until the run is over
}

// observation is what a request record has no place for. Times are in milliseconds.
type observation struct {
	all   []float64 // of every operation, from its own send
	bytes int64     // that they moved
	cold  []float64
	size  int // of the judged unit
}

// Measuring ends the warm-up.
func (d *driver) Measuring(phases *load.Phases) { d.phases = phases }

// enter names the phase of an iteration.
func (d *driver) enter(index int, phase string) {
	if d.phases != nil {
		d.phases.Enter(index, phase)
	}
}

func (d *driver) leave(index int) {
	if d.phases != nil {
		d.phases.Leave(index)
	}
}

// add takes one operation into the observation.
func (o *observation) add(sent time.Time, answer *transport.Answer, u *unit) {
	o.all = append(o.all, milliseconds(answer.End.Sub(sent)))
	o.bytes += int64(u.size)
}

// conclude keeps what was seen of an iteration and says what to record of it: its judged
// operation, or the failure of any other.
func (d *driver) conclude(index int, began time.Time, seen observation, judged *transport.Answer, failed *transport.Answer) load.Exchange {
	if failed != nil {
		judged = failed
	}
	exchange := judged.Exchange()
	if index >= 0 {
		d.mutex.Lock()
		d.seen[index] = seen
		d.mutex.Unlock()
		return exchange
	}
	// The rate follows from whole iterations.
	exchange.End = time.Now()
	if exchange.Outcome == metrics.OK {
		each := exchange.End.Sub(began) / time.Duration(d.operations)
		d.operations = min(max(int(iterationWork/max(each, 1)), 1), d.most)
	}
	return exchange
}

// fresh makes the content of a unit that is about to be stored.
func (d *driver) fresh(u *unit) []byte {
	content := d.units.content(u)
	d.units.remember(u, content)
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.made = append(d.made, u)
	return content
}

// get reads a unit and checks it by its hash.
func (d *driver) get(ctx context.Context, u *unit) transport.Answer {
	return d.check(ctx, u, func(content []byte) error {
		if d.units.is(u, content) {
			return nil
		}
		return fmt.Errorf("%d bytes came back of %s, other than the %d that were stored", len(content), u.id, u.size)
	})
}

// compare reads a unit back and compares every byte.
func (d *driver) compare(ctx context.Context, u *unit) transport.Answer {
	return d.check(ctx, u, func(content []byte) error {
		if len(content) != u.size {
			return fmt.Errorf("%s has %d bytes, %d were stored", u.id, len(content), u.size)
		}
		if at := d.units.differs(u, content); at >= 0 {
			return fmt.Errorf("%s came back with another byte %d", u.id, at)
		}
		return nil
	})
}

// check reads a unit and lets a function judge the content, which is gone afterwards:
// an iteration reads megabytes, and garbage of that size would be collected while the
// next ones are timed.
func (d *driver) check(ctx context.Context, u *unit, judge func(content []byte) error) transport.Answer {
	answer := d.store.read(ctx, u, d.buffers.take(d.largest))
	if answer.Outcome != metrics.OK {
		return answer
	}
	if err := judge(answer.Body); err != nil {
		answer.Fail(metrics.InvalidAnswer, err)
	}
	d.buffers.give(answer.TakeBody())
	return answer
}

// random is the source of an iteration's choices, the same for the same seed.
func (d *driver) random(kind string, index int) *rand.Rand {
	return rand.New(rand.NewPCG(d.units.seed, kindSeed(kind)+uint64(int64(index))))
}

// removeTimeout bounds how long a run cleans up after itself.
const removeTimeout = 30 * time.Second

// removeAll removes what the run stored, also one that was broken off.
func (d *driver) removeAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	waiting := make(chan *unit)
	var mutex sync.Mutex
	var last error
	left := 0
	var removers sync.WaitGroup
	for range Writers {
		removers.Go(func() {
			for u := range waiting {
				err := d.store.remove(ctx, u)
				mutex.Lock()
				if err != nil {
					left++
					last = err
				}
				mutex.Unlock()
			}
		})
	}
	known := map[string]bool{}
	for _, u := range d.made {
		if !known[u.id] {
			known[u.id] = true
			waiting <- u
		}
	}
	close(waiting)
	removers.Wait()
	if left > 0 {
		return fmt.Errorf("%d of %d units that were stored could not be removed: %w", left, len(known), last)
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
