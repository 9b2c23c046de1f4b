// Package living remembers how much lived of what each place allocated, at times that are
// spread over a recording of any length. What only grows looks the same at its end as what
// stays as it is; how it came about tells them apart.
package living

// Amount is what lives of something, as estimated.
type Amount struct{ Objects, Bytes float64 }

// Plus adds two amounts.
func (a Amount) Plus(b Amount) Amount { return Amount{a.Objects + b.Objects, a.Bytes + b.Bytes} }

const (
	// maxReadings are kept. When there are so many each second one is forgotten, and from
	// then on they come half as often: so a recording of an hour is as fine as one of a minute.
	maxReadings = 64
	// maxPlaces bounds what is remembered of each reading.
	maxPlaces = 20_000
)

// History is the readings of one source, by what makes a place there. It is used by one
// goroutine at a time.
type History[K comparable] struct {
	interval uint64
	times    []uint64
	places   map[K][]Amount // of the last readings; before those nothing was seen to live
	refused  uint64
}

// New begins a history whose readings are at least an interval apart, in ns.
func New[K comparable](interval uint64) *History[K] {
	return &History[K]{interval: max(interval, 1), places: map[K][]Amount{}}
}

// Due tells whether a reading at this time would be kept.
func (h *History[K]) Due(time uint64) bool {
	return len(h.times) == 0 || time >= h.times[len(h.times)-1]+h.interval
}

// Add keeps a reading, if it is due: what lives at a time. Places that are not in it have nothing.
func (h *History[K]) Add(time uint64, lives map[K]Amount) {
	if !h.Due(time) {
		return
	}
	if len(h.times) == maxReadings {
		h.thin()
		if !h.Due(time) {
			return
		}
	}
	h.times = append(h.times, time)
	for place, past := range h.places {
		h.places[place] = append(past, lives[place])
	}
	for place, amount := range lives {
		switch _, known := h.places[place]; {
		case known:
		case len(h.places) < maxPlaces:
			h.places[place] = []Amount{amount}
		default:
			h.refused++
		}
	}
}

// thin forgets each second reading, the last of which stays, and places of which nothing has
// lived since.
func (h *History[K]) thin() {
	h.interval *= 2
	h.times = everySecond(h.times)
	for place, past := range h.places {
		kept := everySecond(past)
		h.places[place] = kept
		if !anything(kept) {
			delete(h.places, place)
		}
	}
}

// everySecond keeps the last element, and of those before it each second one.
func everySecond[T any](all []T) []T {
	first := (len(all) + 1) % 2
	kept := all[:0]
	for i := first; i < len(all); i += 2 {
		kept = append(kept, all[i])
	}
	return kept
}

func anything(past []Amount) bool {
	for _, a := range past {
		if a.Objects > 0 {
			return true
		}
	}
	return false
}

// Reading is what lived of one place at a time.
type Reading struct {
	Time uint64
	Amount
}

// Of is what was read of a place, the oldest first.
func (h *History[K]) Of(place K) []Reading {
	past := h.places[place]
	readings := make([]Reading, len(h.times))
	for i, time := range h.times {
		readings[i].Time = time
		if at := i - (len(h.times) - len(past)); at >= 0 {
			readings[i].Amount = past[at]
		}
	}
	return readings
}

// Refused counts places that there was no room for, at each reading.
func (h *History[K]) Refused() uint64 { return h.refused }
