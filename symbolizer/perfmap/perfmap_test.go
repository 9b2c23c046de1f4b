package perfmap_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/perfmap"
)

// A story is a list as it is read over time.
type story struct {
	*testing.T
	table perfmap.Table
}

func (s *story) read(time uint64, text string) {
	s.Helper()
	if err := s.table.Read(strings.NewReader(text), time); err != nil {
		s.Fatal(err)
	}
}

// expect says which name an address has at a time, "" for none.
func (s *story) expect(addr, time uint64, want string) {
	s.Helper()
	if name, ok := s.table.Lookup(addr, time); name != want || ok != (want != "") {
		s.Errorf("%#x at %d is named %q, %t; want %q", addr, time, name, ok, want)
	}
}

func TestLookup(t *testing.T) {
	s := story{T: t}
	s.read(10, "1000 10 first\n0x2000 0x20 second function with spaces\n3000 1 one byte\n")
	s.expect(0xfff, 10, "")
	s.expect(0x1000, 10, "first")
	s.expect(0x100f, 10, "first")
	s.expect(0x1010, 10, "")
	s.expect(0x201f, 5, "second function with spaces") // nothing else ever was there
	s.expect(0x3000, 99, "one byte")
	s.read(20, "4000 10 ha")
	s.expect(0x4000, 20, "")
	s.read(30, "lf a line\n")
	s.expect(0x4000, 30, "half a line")
}

// Code is moved, and other code put in its place.
func TestLastOneAtTheTimeWins(t *testing.T) {
	s := story{T: t}
	s.read(10, "1000 100 old\n")
	s.read(20, "")
	s.read(30, "1040 40 young\n")
	s.expect(0x1050, 15, "old")
	s.expect(0x1050, 20, "old")
	s.expect(0x1050, 25, "") // written between 20 and 30: either
	s.expect(0x1050, 30, "young")
	s.expect(0x1020, 30, "old")
	s.expect(0x10ff, 30, "old")
	s.read(40, "1040 40 old\n")
	s.expect(0x1050, 35, "")
	s.expect(0x1050, 40, "old")
	s.expect(0x1050, 30, "young")

	// Two in one reading.
	s.read(50, "1000 10 passing\n1000 10 lasting\n")
	s.expect(0x1000, 40, "old")
	s.expect(0x1000, 45, "")
	s.expect(0x1000, 50, "lasting")

	// The same name twice leaves nothing open.
	s.read(60, "1000 10 lasting\n")
	s.expect(0x1000, 55, "lasting")
}

func TestRestart(t *testing.T) {
	s := story{T: t}
	s.read(10, "1000 10 old\n2000 10 gone\n")
	s.table.Restart(20)
	s.read(20, "1000 10 young\n")
	s.expect(0x1000, 10, "old")
	s.expect(0x1000, 20, "young")
	s.expect(0x2000, 10, "gone")
	s.expect(0x2000, 20, "")
}

func TestMalformedLines(t *testing.T) {
	s := story{T: t}
	long := strings.Repeat("x", 200_000)
	s.read(1, "\n1000\n1000 10\n1000 10 \nzz 10 a\n1000 zz a\n1000 0 empty\nffffffffffffffff 10 around\n"+
		"1000 ffffffff too large\n11112222333344445 1 long\n"+long+"\n5000 10 good\n")
	s.expect(0x5000, 1, "good")
	if got := s.table.Dropped(); got != 11 || s.table.Len() != 1 {
		t.Errorf("%d lines were dropped and %d kept, want 11 and 1", got, s.table.Len())
	}
}

func TestBounds(t *testing.T) {
	var table perfmap.Table
	var text strings.Builder
	for i := range 600_000 {
		fmt.Fprintf(&text, "%x 10 f\n", 0x1000+i*16)
	}
	if err := table.Read(strings.NewReader(text.String()), 1); !errors.Is(err, perfmap.ErrTooLarge) {
		t.Errorf("600,000 entries: %v", err)
	}
	if table.Memory() > 64<<20 {
		t.Errorf("the table takes %d bytes", table.Memory())
	}
	if name, ok := table.Lookup(0x1000, 1); !ok || name != "f" {
		t.Errorf("what was read before the limit is named %q", name)
	}
}

// TestAgainstModel compares random lists with an array that has each address.
func TestAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for round := range 50 {
		var table perfmap.Table
		var model [256]string
		history := map[uint64][256]string{0: model}
		for time := uint64(1); time < 12; time++ {
			var text strings.Builder
			for range random.IntN(6) {
				low, name := random.IntN(250), fmt.Sprintf("f%d", random.IntN(40))
				size := 1 + random.IntN(256-low)
				fmt.Fprintf(&text, "%x %x %s\n", 0x1000+low, size, name)
				for i := range size {
					model[low+i] = name
				}
			}
			if err := table.Read(strings.NewReader(text.String()), time); err != nil {
				t.Fatal(err)
			}
			history[time] = model
		}
		for time := uint64(1); time < 12; time++ {
			for i := range 256 {
				name, _ := table.Lookup(uint64(0x1000+i), time)
				want := history[time][i]
				// At a time before anything was there, what came first may answer.
				if name != want && want != "" {
					t.Fatalf("round %d: %#x at %d is named %q, want %q", round, 0x1000+i, time, name, want)
				}
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	for name, want := range map[string]perfmap.Function{
		"JS:*hot /srv/app.js:10:13":            {Name: "hot", File: "/srv/app.js", Line: 10},
		"LazyCompile:~hot file:///a b.mjs:1:2": {Name: "hot", File: "file:///a b.mjs", Line: 1},
		"JS:^ /srv/app.js:3:1":                 {Name: "(anonymous)", File: "/srv/app.js", Line: 3},
		"JS:+get node:internal/x:7:8":          {Name: "get", File: "node:internal/x", Line: 7},
		"JS:*builtin":                          {Name: "builtin"},
		"Builtin:ArrayMap":                     {Name: "Builtin:ArrayMap"},
		"Lcom/example/Main;::run":              {Name: "Lcom/example/Main;::run"},
		"JS:":                                  {Name: "JS:"},
		"":                                     {},
	} {
		if got := perfmap.Describe(name); got != want {
			t.Errorf("Describe(%q) = %+v, want %+v", name, got, want)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add("1000 10 a\n1008 10 b\n", "1000 20 c\n", uint64(0x100c), uint64(5))
	f.Add("0 ffffffff a\n", "7fff 1 \xff\n1", uint64(0), uint64(10))
	f.Add("ffffffffffffff00 ff end\n", "fffffffffffffff0 f last\n", ^uint64(1), uint64(20))
	f.Fuzz(func(t *testing.T, first, second string, addr, time uint64) {
		var table perfmap.Table
		if err := table.Read(strings.NewReader(first), 10); err != nil {
			t.Fatal(err)
		}
		if err := table.Read(strings.NewReader(second), 20); err != nil {
			t.Fatal(err)
		}
		if name, ok := table.Lookup(addr, time); ok && (name == "" || !strings.Contains(first+second, name)) {
			t.Errorf("made up %q", name)
		}
		table.Restart(30)
		if name, ok := table.Lookup(addr, 30); ok {
			t.Errorf("%q is named after a new beginning", name)
		}
		perfmap.Describe(first)
	})
}
