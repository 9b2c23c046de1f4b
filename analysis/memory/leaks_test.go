package memory_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/narrows-profiler/narrows/analysis/memory"
)

// life is of one block: from when to when it lives, in seconds.
type life struct {
	born, freed float64
	size        int64
}

const (
	forever = 1e9
	few     = 32 << 10
)

// watched is what a recording of a program sees that lives from 0 to the end, if it takes
// a block for each mean bytes.
func watched(lives []life, end float64, mean int64, random *rand.Rand) memory.Site {
	s := memory.Site{PID: 1, Functions: []string{"f"}, Source: memory.SourceMalloc, MeanBytes: mean, Began: ns(0), Ended: ns(end)}
	const readings = 40
	points := make([]memory.Point, readings)
	for i := range points {
		points[i].Time = ns(end * float64(i) / readings)
	}
	for _, l := range lives {
		taken := 1.0
		if mean > 1 {
			taken = -math.Expm1(-float64(l.size) / float64(mean))
		}
		if random.Float64() >= taken || l.born >= end {
			continue
		}
		for i := range points {
			if p := &points[i]; ns(l.born) < p.Time && p.Time < ns(l.freed) {
				p.Objects += 1 / taken
				p.Bytes += float64(l.size) / taken
			}
		}
		if l.freed > end {
			s.Blocks = append(s.Blocks, memory.Block{Objects: 1 / taken, Size: l.size, Born: ns(l.born)})
		}
	}
	s.History = points
	return s
}

func ns(seconds float64) uint64 { return uint64((seconds + 100) * 1e9) }

// patterns are lives of a place's blocks through some seconds, and what they look like.
var patterns = []struct {
	name  string
	wants []memory.Verdict
	lives func(end float64, random *rand.Rand) []life
}{
	{"a leak", []memory.Verdict{memory.Leak}, func(end float64, random *rand.Rand) []life {
		return steadily(end, 2000, func(born float64) float64 { return forever })
	}},
	{"one block of ten leaks, the others are freed soon", []memory.Verdict{memory.Leak}, func(end float64, random *rand.Rand) []life {
		return steadily(end, 20_000, func(born float64) float64 {
			if random.IntN(10) == 0 {
				return forever
			}
			return born + end/200*random.ExpFloat64()
		})
	}},
	{"a leak of a place that made much ready at the start", []memory.Verdict{memory.Leak}, func(end float64, random *rand.Rand) []life {
		return append(steadily(end, 2000, func(float64) float64 { return forever }), steadily(end/10, 5000, func(float64) float64 { return forever })...)
	}},
	{"a cache that was filled in a third of the time", notALeak, func(end float64, random *rand.Rand) []life {
		return steadily(end/3, 2000, func(float64) float64 { return forever })
	}},
	{"a cache that is full in four fifths of the time", notALeak, func(end float64, random *rand.Rand) []life {
		return steadily(0.8*end, 2000, func(float64) float64 { return forever })
	}},
	{"a cache that is filled at random", notALeak, func(end float64, random *rand.Rand) []life {
		var lives []life
		full := map[int]bool{}
		for i := range 6000 { // misses come ever more seldom
			if slot := random.IntN(2000); !full[slot] {
				full[slot] = true
				lives = append(lives, life{end * float64(i) / 6000, forever, size(i)})
			}
		}
		return lives
	}},
	{"a cache that puts out the oldest", notALeak, func(end float64, random *rand.Rand) []life {
		return steadily(end, 20_000, func(born float64) float64 { return born + end/10 })
	}},
	{"a cache that was filled at once, of which entries are replaced at random", notALeak, func(end float64, random *rand.Rand) []life {
		lives := make([]life, 2000)
		slots := make([]int, 2000)
		for i := range lives {
			lives[i], slots[i] = life{0, forever, size(i)}, i
		}
		for i := range 2000 {
			at, now := random.IntN(len(slots)), end*float64(i)/2000
			lives[slots[at]].freed = now
			slots[at] = len(lives)
			lives = append(lives, life{now, forever, size(i)})
		}
		return lives
	}},
	{"more and more work at a time, all of it freed soon", notALeak, func(end float64, random *rand.Rand) []life {
		var lives []life
		for i := range 40_000 {
			born := end * math.Sqrt(float64(i)/40_000)
			lives = append(lives, life{born, born + end/20*random.ExpFloat64(), size(i)})
		}
		return lives
	}},
	{"all is freed each fifth of the time", notALeak, func(end float64, random *rand.Rand) []life {
		return steadily(end, 10_000, func(born float64) float64 { return end / 5 * math.Ceil(born*5/end+1e-9) })
	}},
	{"all is freed in the end", nil, func(end float64, random *rand.Rand) []life {
		return steadily(end, 2000, func(float64) float64 { return end - 1e-6 })
	}},
	{"a working set", notALeak, func(end float64, random *rand.Rand) []life {
		return steadily(end, 20_000, func(born float64) float64 { return born + end/20*random.ExpFloat64() })
	}},
}

var notALeak = []memory.Verdict{memory.Steady, memory.Growing}

func size(i int) int64 { return int64(100 + i*7919%4000) }

// steadily has blocks at an even pace.
func steadily(end float64, n int, freed func(born float64) float64) (lives []life) {
	for i := range n {
		born := end * (float64(i) + 0.5) / float64(n)
		lives = append(lives, life{born, freed(born), size(i)})
	}
	return lives
}

// TestVerdicts: nothing else is taken for a leak, whether each block is recorded or a few are.
// Leaks are told as such where enough blocks are recorded, and mostly where some 120 are.
func TestVerdicts(t *testing.T) {
	for _, p := range patterns {
		t.Run(p.name, func(t *testing.T) {
			told := 0
			for _, mean := range []int64{1, 2000, few} {
				for seed := range uint64(40) {
					random := rand.New(rand.NewPCG(seed, 9))
					end := []float64{3, 60, 3600}[seed%3]
					lives := p.lives(end, random)
					d := memory.Judge(mean, []memory.Site{watched(lives, end, mean, random)})
					validate(t, d)
					s := d.Sites[0]
					if s.Live.Bytes == 0 && s.Verdict != memory.Leak {
						continue
					}
					if mean == few && slices.Contains(p.wants, memory.Leak) {
						if s.Verdict == memory.Leak {
							told++
						}
						continue
					}
					if !slices.Contains(p.wants, s.Verdict) {
						t.Errorf("mean %d, seed %d: %s, because %s; %+v", mean, seed, s.Verdict, s.Why, s.Growth)
					}
				}
			}
			if slices.Contains(p.wants, memory.Leak) {
				t.Logf("of 40 of which few blocks were recorded %d were told", told)
				if told < 20 {
					t.Errorf("of 40 of which few blocks were recorded %d were told", told)
				}
			}
		})
	}
}

// TestLeakIsMeasured: of what is known to leak the size, the growth and the ages are right, and
// lie in their intervals as often as these say.
func TestLeakIsMeasured(t *testing.T) {
	const end, runs, mean = 100.0, 400, 64 << 10
	lives := steadily(end, 4000, func(float64) float64 { return forever })
	bytes, later := int64(0), int64(0)
	for _, l := range lives {
		bytes += l.size
		if l.born > end/4 {
			later += l.size
		}
	}
	sizes, growths := 0, 0
	for seed := range uint64(runs) {
		d := memory.Judge(mean, []memory.Site{watched(lives, end, mean, rand.New(rand.NewPCG(seed, 1)))})
		s := d.Sites[0]
		if s.Live.LowBytes <= bytes && bytes <= s.Live.HighBytes {
			sizes++
		}
		if s.Growth.LowBytes <= later && later <= s.Growth.HighBytes {
			growths++
		}
		if s.Age.OldestSeconds > end || s.Age.OldestSeconds < 0.9*end || math.Abs(s.Age.MedianSeconds-end/2) > end/5 {
			t.Errorf("ages %+v", s.Age)
		}
	}
	t.Logf("of %d runs the size lay in its interval in %d, the growth in %d", runs, sizes, growths)
	if sizes < 0.93*runs || growths < 0.91*runs {
		t.Errorf("of %d runs the size lay in its interval in %d, the growth in %d", runs, sizes, growths)
	}
	exact := memory.Judge(1, []memory.Site{watched(lives, end, 1, rand.New(rand.NewPCG(1, 1)))}).Sites[0]
	if exact.Live.LowBytes != bytes || exact.Live.HighBytes != bytes || exact.Growth.LowBytes != exact.Growth.HighBytes || math.Abs(float64(exact.Growth.Bytes-later)) > 0.03*float64(later) {
		t.Errorf("where each block is recorded: %+v, %+v, want %d and about %d", exact.Live, exact.Growth, bytes, later)
	}
}

// TestLittleSeen: of what was seen too shortly or too little nothing is said.
func TestLittleSeen(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	leak := steadily(1, 2000, func(float64) float64 { return forever })
	short := watched(leak, 1, 1, random)
	few := watched(steadily(60, 8, func(float64) float64 { return forever }), 60, 1, random)
	seldom := watched(steadily(60, 2000, func(float64) float64 { return forever }), 60, 1, random)
	seldom.History = seldom.History[:4]
	for _, s := range []memory.Site{short, few, seldom, {Functions: []string{"nothing"}}} {
		if d := memory.Judge(1, []memory.Site{s}); d.Sites[0].Verdict != memory.Unknown || d.Sites[0].Why == "" {
			t.Errorf("%+v", d.Sites[0])
		}
	}
}

// TestOrder: leaks come first, however little they are beside what stays.
func TestOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	stays := watched(steadily(1, 50_000, func(float64) float64 { return forever }), 60, 1, random)
	leaks := watched(steadily(60, 200, func(float64) float64 { return forever }), 60, 1, random)
	leaks.Functions = []string{"leaks"}
	sites := []memory.Site{stays, leaks, leaks}
	d := memory.Judge(1, sites)
	if len(d.Sites) != 2 || d.Sites[0].Functions[0] != "leaks" || d.Sites[0].Live.Objects != 400 || len(d.Leaks()) != 1 {
		t.Errorf("%+v", d.Sites)
	}
	for i := range 100 {
		stays.PID = uint32(i + 2)
		sites = append(sites, stays)
	}
	d = memory.Judge(1, sites)
	if len(d.Sites) != 50 || d.Omitted.Sites != 52 || d.Sites[0].Verdict != memory.Leak {
		t.Errorf("%d sites, %+v", len(d.Sites), d.Omitted)
	}
	validate(t, d)
}

// validate checks a document against its schema, and that it comes back as it was.
func validate(t *testing.T, d *memory.Document) {
	t.Helper()
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "schema", "memory.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(instance); err != nil {
		t.Errorf("the schema: %v", err)
	}
	back, err := memory.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Errorf("what was written and read (-want +got):\n%s", diff)
	}
}
