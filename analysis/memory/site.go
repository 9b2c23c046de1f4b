package memory

import (
	"cmp"
	"slices"
	"strings"
)

// Times here are nanoseconds of one clock that does not jump.

// Site is a place of one process that allocated something which lives at the end.
type Site struct {
	PID              uint32
	Process, Service string
	Functions        []string // the leaf first
	// Source is who told: SourceMalloc or SourceGo.
	Source string
	// MeanBytes is for how many bytes one was taken, on average; 1 if all were.
	MeanBytes int64
	// Began and Ended are from when to when the process was followed. Gone tells that it had
	// ended by then, Cut why else it was not followed to the end of the recording.
	Began, Ended uint64
	Gone         bool
	Cut          string
	Blocks       []Block
	// History is how much lived at times before, the oldest first.
	History []Point
}

// The sources.
const (
	SourceMalloc = "malloc"
	SourceGo     = "go"
)

// Block is one or more blocks of a size that live at the end.
type Block struct {
	Objects float64 // that it stands for
	Size    int64
	Born    uint64 // 0 if nobody knows
}

func (b Block) bytes() float64 { return b.Objects * float64(b.Size) }

// Point is what lived at a time.
type Point struct {
	Time           uint64
	Objects, Bytes float64
}

// Merge adds up what is of one process and has one stack of functions: different
// instructions of these may have allocated.
func Merge(sites []Site) []Site {
	type key struct {
		pid               uint32
		source, functions string
	}
	places := map[key]int{}
	var merged []Site
	for _, s := range sites {
		k := key{s.PID, s.Source, strings.Join(s.Functions, "\x00")}
		at, ok := places[k]
		if !ok {
			places[k] = len(merged)
			merged = append(merged, s)
			continue
		}
		m := &merged[at]
		m.Blocks = append(slices.Clip(m.Blocks), s.Blocks...)
		m.History = addHistories(m.History, s.History)
		m.Began, m.Ended = min(m.Began, s.Began), max(m.Ended, s.Ended)
		m.Gone, m.Cut = m.Gone || s.Gone, cmp.Or(m.Cut, s.Cut)
	}
	return merged
}

// addHistories adds up points of the same times.
func addHistories(a, b []Point) []Point {
	var sum []Point
	for len(a) > 0 && len(b) > 0 {
		switch cmp.Compare(a[0].Time, b[0].Time) {
		case -1:
			sum, a = append(sum, a[0]), a[1:]
		case 1:
			sum, b = append(sum, b[0]), b[1:]
		default:
			sum = append(sum, Point{a[0].Time, a[0].Objects + b[0].Objects, a[0].Bytes + b[0].Bytes})
			a, b = a[1:], b[1:]
		}
	}
	return slices.Concat(sum, a, b)
}

// live is what lives at the end, with how sure that is.
func (s *Site) live() (total sum) {
	for _, b := range s.Blocks {
		size := float64(b.Size)
		total.add(b.Objects, b.Objects*size, size, float64(s.MeanBytes))
	}
	return total
}

// ages are those of the oldest block and of the byte in the middle, in seconds; false if no
// block's is known. Bytes are known better than blocks, of which a small one may stand for many.
func (s *Site) ages() (oldest, median float64, ok bool) {
	var blocks []Block
	all := 0.0
	for _, b := range s.Blocks {
		if b.Born != 0 {
			blocks = append(blocks, b)
			all += b.bytes()
		}
	}
	if len(blocks) == 0 {
		return 0, 0, false
	}
	slices.SortFunc(blocks, func(x, y Block) int { return cmp.Compare(x.Born, y.Born) })
	age := func(b Block) float64 { return seconds(b.Born, s.Ended) }
	passed := 0.0
	for _, b := range blocks {
		if passed += b.bytes(); passed >= all/2 {
			return age(blocks[0]), age(b), true
		}
	}
	return age(blocks[0]), age(blocks[len(blocks)-1]), true
}

// seconds between two times, 0 if the second is before the first.
func seconds(from, to uint64) float64 { return float64(to-min(from, to)) / 1e9 }
