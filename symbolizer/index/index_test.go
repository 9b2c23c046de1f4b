package index_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

// image builds the index of ranges.
func image(t testing.TB, ranges ...binary.Range) []byte {
	t.Helper()
	var b index.Builder
	for _, r := range ranges {
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	data, err := b.Image("0123456789abcdef", "source")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t testing.TB, data []byte) *index.Index {
	t.Helper()
	x, err := index.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// frames asks an index for the frames at an address.
func frames(x *index.Index, addr uint64) ([]binary.Frame, error) {
	node, k, err := x.Find(addr)
	if err != nil || k != index.Known {
		return nil, err
	}
	stack, err := x.Stack(node, nil)
	if err != nil {
		return nil, err
	}
	var all []binary.Frame
	for _, p := range stack {
		f, err := x.Function(p.Function)
		if err != nil {
			return nil, err
		}
		all = append(all, binary.Frame{Function: f.SystemName, File: f.File, Line: p.Line, StartLine: f.StartLine, Source: f.Source})
	}
	return all, nil
}

// someRanges draws code without overlaps, some of it inlined, in any order.
func someRanges(t *rapid.T) []binary.Range {
	names := rapid.SampledFrom([]string{"main", "_Zfoo", "runtime.mallocgc", "a", strings.Repeat("long", 1500)})
	files := rapid.SampledFrom([]string{"", "a.c", "b.h", strings.Repeat("d/", 3000)})
	lines := rapid.IntRange(0, 1000)
	sources := rapid.SampledFrom([]binary.Source{binary.FromGoTable, binary.FromDWARF, binary.FromSymbol, binary.FromStub})
	var scopes []*binary.Scope
	for range rapid.IntRange(1, 20).Draw(t, "scopes") {
		s := &binary.Scope{Function: names.Draw(t, "name"), StartLine: lines.Draw(t, "start"), Source: sources.Draw(t, "source")}
		if len(scopes) > 0 && rapid.Bool().Draw(t, "inlined") {
			s.Caller = rapid.SampledFrom(scopes).Draw(t, "caller")
			s.CallFile, s.CallLine = files.Draw(t, "call file"), lines.Draw(t, "call line")
		}
		scopes = append(scopes, s)
	}
	var ranges []binary.Range
	at := rapid.SampledFrom([]uint64{0, 0x400000, 1<<64 - 1<<33}).Draw(t, "base")
	for range rapid.IntRange(0, 1200).Draw(t, "ranges") {
		low := at + uint64(rapid.SampledFrom([]int{0, 0, 1, 100}).Draw(t, "gap"))
		at = low + uint64(rapid.IntRange(1, 20).Draw(t, "length"))
		ranges = append(ranges, binary.Range{
			Low: low, High: at, Scope: rapid.SampledFrom(scopes).Draw(t, "scope"),
			File: files.Draw(t, "file"), Line: lines.Draw(t, "line"),
		})
	}
	return rapid.Permutation(ranges).Draw(t, "order")
}

// TestFramesAreThoseOfTheRanges compares each answer with the range that holds the
// address, at every byte of the code and around it.
func TestFramesAreThoseOfTheRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ranges := someRanges(t)
		var b index.Builder
		want := map[uint64]binary.Range{}
		low, high := ^uint64(0), uint64(0)
		for _, r := range ranges {
			if err := b.Add(r); err != nil {
				t.Fatal(err)
			}
			low, high = min(low, r.Low), max(high, r.High)
			for at := r.Low; at < r.High; at++ {
				want[at] = r
			}
		}
		data, err := b.Image("id", "from")
		if err != nil {
			t.Fatal(err)
		}
		x, err := index.Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if x.BuildID() != "id" || x.Source() != "from" {
			t.Fatalf("it says it is of %q, made from %q", x.BuildID(), x.Source())
		}
		if len(ranges) == 0 {
			low, high = 10, 10
		}
		check := func(at uint64) {
			got, err := frames(x, at)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want[at].Frames(), got); diff != "" {
				t.Fatalf("at %#x (-want +got):\n%s", at, diff)
			}
		}
		for at := low - 2; at != high+2; at++ { // ascending, as a profile's are looked up
			check(at)
		}
		for range 100 { // and in any order
			check(rapid.Uint64Range(low, high).Draw(t, "address"))
		}
		check(0)
		check(1<<64 - 1)
	})
}

// TestNamesAreKept checks that names for people are added without changing
// anything else, also where they make the file grow by many blocks.
func TestNamesAreKept(t *testing.T) {
	var ranges []binary.Range
	for i := range uint64(3000) {
		s := &binary.Scope{Function: fmt.Sprintf("_Z%d", i), Source: binary.FromSymbol}
		ranges = append(ranges, binary.Range{Low: 16 * i, High: 16*i + 16, Scope: s})
	}
	x := open(t, image(t, ranges...))
	names := map[uint32]string{7: "_Z7", 1 << 31: "nobody"}
	for i := range uint32(1000) {
		names[1000+i] = fmt.Sprintf("some::function%d(%s)", i, strings.Repeat("argument, ", int(i)))
	}
	data, err := x.WithNames(names)
	if err != nil {
		t.Fatal(err)
	}
	named := open(t, data)
	if named.BuildID() != x.BuildID() || named.Source() != x.Source() || named.Functions() != x.Functions() || named.Ranges() != x.Ranges() {
		t.Errorf("it became the index of %q made from %q with %d functions and %d ranges", named.BuildID(), named.Source(), named.Functions(), named.Ranges())
	}
	for id := range uint32(3000) {
		before, err := x.Function(id)
		if err != nil {
			t.Fatal(err)
		}
		before.Name = names[id]
		after, err := named.Function(id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("function %d (-want +got):\n%s", id, diff)
		}
	}
	for at := uint64(0); at < 16*3000; at += 7 {
		before, err := frames(x, at)
		if err != nil {
			t.Fatal(err)
		}
		if after, err := frames(named, at); err != nil || !cmp.Equal(before, after) {
			t.Fatalf("at %#x: %v, %v; was %v", at, after, err, before)
		}
	}
}

func TestOverlapsAreCut(t *testing.T) {
	outer, inner := &binary.Scope{Function: "outer"}, &binary.Scope{Function: "inner"}
	x := open(t, image(t,
		binary.Range{Low: 20, High: 40, Scope: inner}, binary.Range{Low: 10, High: 30, Scope: outer},
		binary.Range{Low: 50, High: 50, Scope: inner}, binary.Range{Low: 60, High: 55, Scope: inner}, binary.Range{Low: 70, High: 80}))
	for at, want := range map[uint64]string{9: "", 10: "outer", 29: "outer", 30: "inner", 39: "inner", 40: "", 50: "", 57: "", 75: ""} {
		got, err := frames(x, at)
		if err != nil {
			t.Fatal(err)
		}
		if (len(got) == 0) != (want == "") || len(got) > 0 && got[0].Function != want {
			t.Errorf("at %d: %v, want %q", at, got, want)
		}
	}
}

func TestWhatDoesNotFit(t *testing.T) {
	s := &binary.Scope{Function: "f"}
	var b index.Builder
	for _, low := range []uint64{0, 1 << 40} {
		if err := b.Add(binary.Range{Low: low, High: low + 1, Scope: s}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Image("id", ""); !errors.Is(err, index.ErrTooLarge) {
		t.Errorf("code 2^40 bytes apart: %v", err)
	}
	deep := s
	for range 2000 {
		deep = &binary.Scope{Function: "g", Caller: deep}
	}
	if err := b.Add(binary.Range{Low: 0, High: 1, Scope: deep}); !errors.Is(err, index.ErrTooLarge) {
		t.Errorf("inlined 2,000 deep: %v", err)
	}
	if err := b.Add(binary.Range{Low: 0, High: 1, Scope: &binary.Scope{Function: strings.Repeat("x", 1<<20)}}); !errors.Is(err, index.ErrTooLarge) {
		t.Errorf("a name of 1 MiB: %v", err)
	}
	if _, err := b.Image(strings.Repeat("x", 2000), ""); !errors.Is(err, index.ErrTooLarge) {
		t.Errorf("a build ID of 2,000 bytes: %v", err)
	}
}

// TestDamageIsNoticed changes each byte of a file, cuts it at each length, and
// checks that every answer is an error or the right one.
func TestDamageIsNoticed(t *testing.T) {
	outer := &binary.Scope{Function: "outer", StartLine: 3, Source: binary.FromDWARF}
	inner := &binary.Scope{Function: "inner", Caller: outer, CallFile: "o.c", CallLine: 9}
	data := image(t, binary.Range{Low: 0x1000, High: 0x1010, Scope: outer, File: "o.c", Line: 8},
		binary.Range{Low: 0x1010, High: 0x1020, Scope: inner, File: "i.h", Line: 1})
	want := map[uint64][]binary.Frame{}
	for at := uint64(0x0ff0); at < 0x1030; at++ {
		var err error
		if want[at], err = frames(open(t, data), at); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, damaged []byte) {
		x, err := index.Open(bytes.NewReader(damaged), int64(len(damaged)))
		if err != nil {
			if !errors.Is(err, index.ErrDamaged) {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		for at, frames0 := range want {
			got, err := frames(x, at)
			if err != nil {
				if !errors.Is(err, index.ErrDamaged) {
					t.Errorf("%s: %v", what, err)
				}
				continue
			}
			if !cmp.Equal(got, frames0) {
				t.Fatalf("%s: at %#x %v, want %v", what, at, got, frames0)
			}
		}
		if len(damaged) < len(data) {
			t.Errorf("%s: opened", what)
		}
	}
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		check(fmt.Sprintf("byte %d changed", i), damaged)
	}
	for n := 0; n < len(data); n += 61 {
		check(fmt.Sprintf("cut to %d bytes", n), data[:n])
	}
	check("longer", append(bytes.Clone(data), make([]byte, 4096)...))
}

func TestFileShrinksWhileOpen(t *testing.T) {
	data := image(t, binary.Range{Low: 1, High: 2, Scope: &binary.Scope{Function: "f"}})
	r := &shrinking{data}
	x, err := index.Open(r, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	r.data = r.data[:4096]
	x.Rest() // a small file is read at once, and kept until here
	if got, err := frames(x, 1); !errors.Is(err, index.ErrDamaged) {
		t.Errorf("%v, %v", got, err)
	}
}

type shrinking struct{ data []byte }

func (s *shrinking) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.data).ReadAt(p, off)
}

// TestPartialIndexKnowsWhatItWasTold gives an index some addresses, and another one
// what the first knows and more.
func TestPartialIndexKnowsWhatItWasTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SampledFrom([]string{"", "f", "g", "h"})
		told := map[uint64][]index.Frame{}
		var before *index.Index
		for range 2 {
			b := index.Builder{Partial: true}
			if before != nil {
				for s, err := range before.Spans() {
					if err == nil {
						err = b.AddSpan(s)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			for range rapid.IntRange(0, 700).Draw(t, "addresses") {
				at := rapid.Uint64Range(1000, 3000).Draw(t, "address")
				if _, known := told[at]; known {
					continue
				}
				var frames []index.Frame
				for range rapid.IntRange(0, 3).Draw(t, "frames") {
					frames = append(frames, index.Frame{
						Function: index.Function{SystemName: "_" + names.Draw(t, "system"), Name: names.Draw(t, "name"), File: names.Draw(t, "file"), StartLine: rapid.IntRange(0, 9).Draw(t, "start")},
						Line:     rapid.IntRange(0, 9).Draw(t, "line"),
					})
				}
				told[at] = frames
				if err := b.AddSpan(index.Span{Low: at, High: at + 1, Frames: frames}); err != nil {
					t.Fatal(err)
				}
			}
			data, err := b.Image("id", "")
			if err != nil {
				t.Fatal(err)
			}
			if before, err = index.Open(bytes.NewReader(data), int64(len(data))); err != nil {
				t.Fatal(err)
			}
		}
		if !before.Partial() {
			t.Fatal("it says that it is whole")
		}
		for at := uint64(990); at < 3010; at++ {
			node, k, err := before.Find(at)
			if err != nil {
				t.Fatal(err)
			}
			frames, known := told[at]
			want := index.Unknown
			if known && len(frames) == 0 {
				want = index.Nobody
			} else if known {
				want = index.Known
			}
			if k != want {
				t.Fatalf("at %d: %v, want %v", at, k, want)
			}
			if k != index.Known {
				continue
			}
			stack, err := before.Stack(node, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []index.Frame
			for _, p := range stack {
				f, err := before.Function(p.Function)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, index.Frame{Function: f, Line: p.Line})
			}
			if diff := cmp.Diff(frames, got); diff != "" {
				t.Fatalf("at %d (-told +known):\n%s", at, diff)
			}
		}
	})
}
