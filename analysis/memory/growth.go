package memory

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Verdict is what the life of a site's memory looks like.
type Verdict string

// The verdicts.
const (
	// Leak is memory that becomes more to the end as steadily as before, and of which what
	// was allocated earlier lives still.
	Leak Verdict = "leak"
	// Growing is memory that becomes more to the end in another way: a cache that fills, or
	// more work at a time.
	Growing Verdict = "growing"
	// Steady is memory that does not become more in the last quarter of the time.
	Steady Verdict = "steady"
	// Unknown is what there was too little to see of.
	Unknown Verdict = "unknown"
)

const (
	// leastSeconds and leastReadings are of the time in which a process was followed: what
	// grows for a moment is no leak yet.
	leastSeconds  = 2
	leastReadings = 8
	// leastBlocks are those that were recorded and live: of fewer, each quarter of the time
	// has too few to be told from chance.
	leastBlocks = 12
	// sureness is by how many standard deviations memory must become more in each quarter.
	// By chance alone it does so in 2 % of quarters, and in three of three practically never.
	sureness = 2
	// slowed is the part of the pace before that the last quarter must keep up, kept is by how
	// many standard deviations it must: where few blocks were recorded, chance hides that a
	// cache fills. One that is filled at random is slower once nine tenths of it are full.
	slowed = 0.5
	kept   = 1.64
	// old is the part of what was added in the middle of the time that must live still.
	old = 0.5
)

// quarter is a part of the time in which a process was followed.
type quarter struct {
	from, to Point
	grown    float64 // recorded blocks that live more at its end than at its beginning
	born     float64 // recorded blocks that were allocated in it and live at the end of all
	chance   float64 // the standard deviation of grown
}

// pace is blocks a second, and how far chance may have put it off.
func (q quarter) pace() (pace, chance float64) {
	length := max(seconds(q.from.Time, q.to.Time), 1e-9)
	return q.grown / length, q.chance / length
}

// growth is how a site's memory became more in the second to fourth quarter of the time. In
// the first, programs make ready what they need.
type growth struct {
	quarters [3]quarter
	verdict  Verdict
	why      string
}

// growth judges a site.
func (s *Site) growth() growth {
	points := s.points()
	live := s.live()
	switch followed := seconds(s.Began, s.Ended); {
	case followed < leastSeconds:
		return growth{verdict: Unknown, why: fmt.Sprintf("it was followed for %.2g s, which is less than %d", followed, leastSeconds)}
	case len(points) < leastReadings:
		return growth{verdict: Unknown, why: fmt.Sprintf("what lived was read %d times, which is less than %d", len(points), leastReadings)}
	case live.samples < leastBlocks:
		return growth{verdict: Unknown, why: fmt.Sprintf("%.0f of the blocks that live were recorded, which is less than %d", live.samples, leastBlocks)}
	}
	g := growth{quarters: s.quarters(points, live.samples/live.bytes)}
	g.verdict, g.why = g.judge(s.Source == SourceMalloc)
	return g
}

// points are the readings while the process was followed, and what lives at the end.
func (s *Site) points() []Point {
	points := slices.DeleteFunc(slices.Clone(s.History), func(p Point) bool { return p.Time < s.Began || p.Time >= s.Ended })
	live := s.live()
	return append(points, Point{s.Ended, live.objects, live.bytes})
}

// quarters divides the time. recorded is how many blocks were taken for a byte that lives:
// by bytes, in which all that were taken stand for about as much.
func (s *Site) quarters(points []Point, recorded float64) (parts [3]quarter) {
	at := func(k int) Point { return between(points, s.Began+uint64(k)*((s.Ended-s.Began)/4)) }
	noise := recorded * scatter(points[len(points)/4:])
	for i := range parts {
		q := quarter{from: at(i + 1), to: at(i + 2)}
		if i == len(parts)-1 {
			q.to = points[len(points)-1]
		}
		q.grown = recorded * (q.to.Bytes - q.from.Bytes)
		common := recorded * min(q.from.Bytes, q.to.Bytes)
		if s.Source == SourceMalloc { // of these it is known that they are the same
			common = 0
			for _, b := range s.Blocks {
				switch taken := b.bytes() * recorded; {
				case b.Born <= q.from.Time:
					common += taken
				case b.Born <= q.to.Time:
					q.born += taken
				}
			}
		}
		// What came and what went, each by chance.
		changed := recorded*(q.from.Bytes+q.to.Bytes) - 2*common
		q.chance = math.Sqrt(max(changed, math.Abs(q.grown), 1))
		if s.Source != SourceMalloc {
			q.chance = max(q.chance, noise)
		}
		parts[i] = q
	}
	return parts
}

// between is what lived at a time, on a straight line between the readings before and after.
func between(points []Point, time uint64) Point {
	i, _ := slices.BinarySearchFunc(points, time, func(p Point, time uint64) int { return cmp.Compare(p.Time, time) })
	if i == 0 || i == len(points) {
		return points[min(i, len(points)-1)]
	}
	from, to := points[i-1], points[i]
	part := float64(time-from.Time) / float64(to.Time-from.Time)
	return Point{time, from.Objects + part*(to.Objects-from.Objects), from.Bytes + part*(to.Bytes-from.Bytes)}
}

// scatter is how far the readings lie from the straight line through them: the standard
// deviation, in bytes.
func scatter(points []Point) float64 {
	var n, meanX, meanY float64
	for _, p := range points {
		n++
		meanX += float64(p.Time-points[0].Time) / 1e9
		meanY += p.Bytes
	}
	if n < 3 {
		return 0
	}
	meanX, meanY = meanX/n, meanY/n
	var xx, xy, yy float64
	for _, p := range points {
		x, y := float64(p.Time-points[0].Time)/1e9-meanX, p.Bytes-meanY
		xx, xy, yy = xx+x*x, xy+x*y, yy+y*y
	}
	if xx == 0 {
		return 0
	}
	return math.Sqrt(max(yy-xy*xy/xx, 0) / (n - 2))
}

// judge says what the quarters look like. withAges tells that it is known when blocks were born.
func (g *growth) judge(withAges bool) (Verdict, string) {
	surely := func(q quarter) bool { return q.grown >= sureness*q.chance }
	switch {
	case !surely(g.quarters[2]):
		return Steady, "it did not become surely more in the last quarter of the time"
	case !surely(g.quarters[0]) || !surely(g.quarters[1]):
		return Growing, "it became more in the last quarter of the time, but not surely in each one before"
	}
	first, firstOff := g.quarters[0].pace()
	second, secondOff := g.quarters[1].pace()
	last, lastOff := g.quarters[2].pace()
	before := (first + second) / 2
	if spare := last - slowed*before; last < slowed*first || spare < kept*math.Hypot(lastOff, slowed/2*math.Hypot(firstOff, secondOff)) {
		why := "too few of its blocks were recorded to tell whether it becomes more as steadily as before"
		if spare < 0 || last < slowed*first {
			why = "it becomes more ever slower"
		}
		return Growing, fmt.Sprintf("%s: in the last quarter of the time at %.0f %% of the pace before", why, 100*last/before)
	}
	if withAges {
		born, grown := g.quarters[0].born+g.quarters[1].born, g.quarters[0].grown+g.quarters[1].grown
		if born < old*grown {
			return Growing, fmt.Sprintf("it becomes more, but of what was added in the middle of the time only %.0f %% lives still", 100*born/grown)
		}
		return Leak, "it becomes more steadily, and what was allocated before lives still"
	}
	return Leak, "it becomes more steadily; how old its blocks are is not known"
}
