package memory

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// FileName is the session's file that holds the [Document], and SchemaVersion the version of
// its layout.
const (
	FileName      = "memory.json"
	SchemaVersion = 1
)

// Document is the content of memory.json: which places' memory lives at the end, leaks
// first. Its layout is described by docs/schema/memory.schema.json.
type Document struct {
	SchemaVersion int `json:"schema_version"`
	// MeanBytes is for how many bytes one allocation by malloc and its kin was recorded.
	MeanBytes int64       `json:"mean_bytes"`
	Sites     []LivePlace `json:"sites"`
	Omitted   Omitted     `json:"omitted"`
}

// Omitted is the sum of the sites that the list has no room for; none of them is a leak unless
// all in the list are.
type Omitted struct {
	Sites int   `json:"sites"`
	Bytes int64 `json:"bytes"`
}

// LivePlace is what lives of what one stack of a process allocated.
type LivePlace struct {
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why"`
	// Function is the program's own function that the memory is for.
	Function  string                 `json:"function"`
	PID       uint32                 `json:"pid"`
	Process   string                 `json:"process"`
	Service   string                 `json:"service"`
	Source    string                 `json:"source"`
	MeanBytes int64                  `json:"mean_bytes"`
	Functions []string               `json:"functions"` // the leaf first
	Live      session.MemoryEstimate `json:"live"`
	// Age is null where nobody knows when a block was allocated, as in Go's heap profile.
	Age *Age `json:"age"`
	// FollowedSeconds is for how long the process was. Ended tells that it had ended by then,
	// Cut why else it was not followed to the end of the recording.
	FollowedSeconds float64 `json:"followed_seconds"`
	Ended           bool    `json:"ended"`
	Cut             string  `json:"cut"`
	// Growth is null where the verdict is unknown.
	Growth *Growth   `json:"growth"`
	Past   []Reading `json:"past"`
}

// Age is how long ago blocks that live were allocated: half of the bytes longer than the median.
type Age struct {
	OldestSeconds float64 `json:"oldest_seconds"`
	MedianSeconds float64 `json:"median_seconds"`
}

// Growth is how much more lives than after the first quarter of the time, and how much of
// that came in each of the three others.
type Growth struct {
	Seconds       float64  `json:"seconds"`
	Bytes         int64    `json:"bytes"`
	LowBytes      int64    `json:"low_bytes"`
	HighBytes     int64    `json:"high_bytes"`
	QuartersBytes [3]int64 `json:"quarters_bytes"`
}

// Reading is what lived so long after the process was first followed.
type Reading struct {
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`
}

// shownReadings are those of a site in the document.
const shownReadings = 16

// Judge makes a document of sites.
func Judge(meanBytes int64, sites []Site) *Document {
	d := &Document{SchemaVersion: SchemaVersion, MeanBytes: meanBytes, Sites: []LivePlace{}}
	lexicon := NewLexicon()
	for _, s := range Merge(sites) {
		p := s.judged()
		p.Function = lexicon.Owner(s.Functions)
		d.Sites = append(d.Sites, p)
	}
	rank := map[Verdict]int{Leak: 0, Growing: 1, Steady: 2, Unknown: 2}
	slices.SortStableFunc(d.Sites, func(a, b LivePlace) int {
		return cmp.Or(cmp.Compare(rank[a.Verdict], rank[b.Verdict]), cmp.Compare(b.Live.Bytes, a.Live.Bytes), cmp.Compare(a.PID, b.PID), slices.Compare(a.Functions, b.Functions))
	})
	const shown = 50
	for _, s := range d.Sites[min(len(d.Sites), shown):] {
		d.Omitted.Sites++
		d.Omitted.Bytes += s.Live.Bytes
	}
	d.Sites = d.Sites[:min(len(d.Sites), shown)]
	return d
}

func (s *Site) judged() LivePlace {
	g, live := s.growth(), s.live()
	p := LivePlace{
		Verdict: g.verdict, Why: g.why, PID: s.PID, Process: s.Process, Service: s.Service, Source: s.Source, MeanBytes: s.MeanBytes,
		Functions: s.Functions, Live: live.estimate(), FollowedSeconds: seconds(s.Began, s.Ended), Ended: s.Gone, Cut: s.Cut, Past: s.past(),
	}
	if oldest, median, ok := s.ages(); ok {
		p.Age = &Age{oldest, median}
	}
	if g.verdict != Unknown {
		p.Growth = g.told(live, s.MeanBytes)
	}
	return p
}

// told is the growth in bytes. Its interval is by how many blocks came and went that were recorded.
func (g *growth) told(live sum, mean int64) *Growth {
	first, last := g.quarters[0].from, g.quarters[2].to
	t := &Growth{Seconds: seconds(first.Time, last.Time), Bytes: round(last.Bytes - first.Bytes)}
	variance := 0.0
	for i, q := range g.quarters {
		t.QuartersBytes[i] = round(q.to.Bytes - q.from.Bytes)
		variance += q.chance * q.chance
	}
	const normal95 = 1.96
	off := 0.0
	if mean > 1 {
		off = normal95 * math.Sqrt(variance) * live.bytes / live.samples
	}
	t.LowBytes, t.HighBytes = round(last.Bytes-first.Bytes-off), round(last.Bytes-first.Bytes+off)
	return t
}

// past is the site's readings, as far as there is room for them.
func (s *Site) past() []Reading {
	points := s.points()
	readings := []Reading{}
	for i := range min(len(points), shownReadings) {
		p := points[len(points)-1]
		if n := min(len(points), shownReadings); n > 1 {
			p = points[i*(len(points)-1)/(n-1)]
		}
		readings = append(readings, Reading{seconds(s.Began, p.Time), round(p.Bytes)})
	}
	return readings
}

// Leaks are the sites that leak.
func (d *Document) Leaks() []LivePlace {
	end := slices.IndexFunc(d.Sites, func(p LivePlace) bool { return p.Verdict != Leak })
	if end < 0 {
		end = len(d.Sites)
	}
	return d.Sites[:end]
}

// Encode is the document as it is written.
func (d *Document) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", FileName, err)
	}
	return append(data, '\n'), nil
}

// Read reads a session's document; the error wraps fs.ErrNotExist if it has none.
func Read(s *session.Session) (*Document, error) {
	data, err := s.ReadFile(FileName)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", FileName, err)
	}
	return Decode(data)
}

// Decode reads a document.
func Decode(data []byte) (*Document, error) {
	d := new(Document)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("reading %s: %w", FileName, err)
	}
	if d.SchemaVersion != SchemaVersion {
		return nil, fmt.Errorf("reading %s: its schema version is %d, and this narrows reads %d", FileName, d.SchemaVersion, SchemaVersion)
	}
	return d, nil
}
