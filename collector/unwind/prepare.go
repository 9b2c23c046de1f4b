package unwind

import (
	"errors"
	"time"
)

// prepare asks for the tables of all files of a process, before a walk has lacked them.
type prepare struct {
	since time.Time
	done  func()
}

// preparation is it in the inbox.
type preparation struct {
	pid uint32
	prepare
}

// Prepare has the tables made ready that walks of a process will need, and calls done
// when they are, or cannot be; it may be nil. It is for processes of which many stacks are
// wanted at once: else what is never sampled shall cost nothing.
func (t *Tracker) Prepare(pid uint32, done func()) {
	if done == nil {
		done = func() {}
	}
	t.inbox.put(preparation{pid, prepare{time.Now(), done}})
}

// take keeps what was asked for until the next batch of events.
func (t *Tracker) take(p preparation) {
	if earlier, ok := t.preparing[p.pid]; ok {
		now := p.done
		p.done = func() { earlier.done(); now() }
		p.since = earlier.since
	}
	t.preparing[p.pid] = p.prepare
	t.outstanding.Store(int64(len(t.waiting) + len(t.preparing)))
}

// prepared loads what was asked for, where the process's files are open by now.
func (t *Tracker) prepared(number uint64) {
	for pid, asked := range t.preparing {
		p := t.table.Known(pid)
		if p == nil || p.Exited() {
			delete(t.preparing, pid)
			asked.done()
			continue
		}
		patient := time.Since(asked.since) < patience
		x, ready, err := t.sets.get(p.Mappings(), number, patient)
		if !ready && patient {
			continue
		}
		delete(t.preparing, pid)
		if err != nil || !ready {
			if err != nil && !errors.Is(err, errNone) {
				t.refused(err)
			}
			asked.done()
			continue
		}
		t.tables.prepare(x.files, asked.done)
	}
}

// prepare has tables loaded soon, by the numbers that the walker knows them by.
func (t *Tables) prepare(numbers []int, done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range numbers {
		x := t.numbers[n]
		if x == nil || !x.wanted() {
			continue
		}
		select {
		case t.wishes <- wish{table: x}:
			x.queued = true
		default: // the first sample asks again
		}
	}
	select {
	case t.wishes <- wish{done: done}: // they are fulfilled one after the other
	default:
		go done()
	}
}
