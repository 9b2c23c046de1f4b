package flamegraph

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/pprof/profile"
	"pgregory.net/rapid"
)

func render(t testing.TB, g *Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := g.WriteSVG(&b); err != nil {
		t.Fatalf("WriteSVG: %v", err)
	}
	return b.Bytes()
}

// picture is what a reader of the XML finds in a file.
type picture struct {
	elements map[string]int
	attrs    []xml.Attr
	texts    []string // the static texts, in order
	scripts  []string
}

func parse(t testing.TB, svg []byte) picture {
	t.Helper()
	p := picture{elements: map[string]int{}}
	d := xml.NewDecoder(bytes.NewReader(svg))
	var open []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return p
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			open = append(open, e.Name.Local)
			p.elements[e.Name.Local]++
			p.attrs = append(p.attrs, e.Attr...)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			switch {
			case len(open) == 0:
			case open[len(open)-1] == "text":
				p.texts = append(p.texts, string(e))
			case open[len(open)-1] == "script":
				p.scripts = append(p.scripts, string(e))
			}
		}
	}
}

func (p picture) document(t testing.TB) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(p.scripts[0]), &d); err != nil {
		t.Fatalf("the script's data: %v", err)
	}
	return d
}

func TestHeadSaysWhatIsDrawn(t *testing.T) {
	p := folded("main;a 900", "main;b;c 60", "main;d 9", "main;e 31", "[lost: missed ticks] 200")
	g := mustNew(t, p, Options{Title: "ryot", Subtitle: "recorded on host h", MinWidth: 0.05})
	texts := strings.Join(parse(t, render(t, g)).texts, "\n")
	for _, want := range []string{
		"ryot", "recorded on host h",
		"cpu: 12 s in 1,200 samples · 2 frames narrower than 5 % not drawn",
		"native (C, C++, Rust) 83.3 % self", "lost 16.7 % self",
	} {
		if !strings.Contains(texts, want) {
			t.Errorf("the picture does not say %q:\n%s", want, texts)
		}
	}
}

func TestHeadWithoutCounts(t *testing.T) {
	b := newBuilder(&profile.ValueType{Type: "blame", Unit: "nanoseconds"})
	b.sample([]int64{1500}, "main", "a")
	b.sample([]int64{1}, "main", "b")
	texts := parse(t, render(t, mustNew(t, b.p, Options{MaxFrames: 2}))).texts
	if want := "blame: 1.501 us in 2 stacks · 1 frame narrower than 0.1 % not drawn · 1 frame more not drawn: the 2 widest are"; !slices.Contains(texts, want) {
		t.Errorf("no text %q in %q", want, texts)
	}
}

func TestDataOfTheScript(t *testing.T) {
	p := folded("main;work+copy 3", "main;work 1")
	p.Function[1].Filename = "/src/work.c"
	d := parse(t, render(t, mustNew(t, p, Options{SampleType: "samples"}))).document(t)
	rows := [][]int64{}
	for r := range slices.Chunk(d.Nodes, 7) {
		rows = append(rows, r)
	}
	want := [][]int64{{-1, 0, 4, 0, 4, 0, 0}, {0, 1, 4, 0, 4, 10, 0}, {1, 2, 4, 1, 4, 10, 0}, {2, 3, 3, 3, 3, 11, 0}}
	if fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("nodes %v, want %v", rows, want)
	}
	if got := d.Names[d.Frames[2][0]]; got != "copy" || d.Frames[2][4] != 1 {
		t.Errorf("third frame %q, inlined %d, want copy, 1", got, d.Frames[2][4])
	}
	if got := d.Texts[d.Frames[1][3]]; got != "/src/work.c" {
		t.Errorf("file %q, want /src/work.c", got)
	}
	if got := d.Texts[d.Frames[1][2]]; got != "/bin/app" {
		t.Errorf("binary %q, want /bin/app", got)
	}
}

// TestHiddenBoundsEverySearch compares, for each function of any profile, what
// the script can know of its share with the truth: the samples it is in.
func TestHiddenBoundsEverySearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := folded(append(drawStacks(t), "main 1")...)
		g, err := New(p, Options{SampleType: "samples", MinWidth: rapid.Float64Range(1e-6, 0.4).Draw(t, "width"), MaxFrames: rapid.IntRange(1, 30).Draw(t, "limit")})
		if err != nil {
			t.Fatal(err)
		}
		d := &drawing{g: g, l: place(&g.tree, g.maxFrames)}
		names := newTable()
		pairs, elsewhere := d.hidden(names)
		for _, name := range []string{"a", "b", "c", "main"} {
			var truth, drawn int64
			for _, s := range p.Sample {
				if contains(s, name) {
					truth += s.Value[0]
				}
			}
			var outer int32 // the depth of the match that the walk is in
			for _, b := range d.l.boxes[1:] {
				if outer > 0 && b.depth > outer {
					continue
				}
				outer = 0
				if g.tree.frames[b.frame].name == name {
					drawn += b.total
					outer = b.depth
				}
			}
			unseen := elsewhere
			for pair := range slices.Chunk(pairs, 2) {
				if names.list[pair[0]] == name {
					unseen += pair[1]
				}
			}
			if truth < drawn || truth > drawn+unseen {
				t.Fatalf("%s is in samples of %d, the file says %d and at most %d more", name, truth, drawn, unseen)
			}
			if g.tree.narrow == 0 && d.l.over == 0 && unseen != 0 {
				t.Fatalf("%s: all is drawn, yet %d is said to be hidden", name, unseen)
			}
		}
	})
}

func contains(s *profile.Sample, name string) bool {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function.Name == name {
				return true
			}
		}
	}
	return false
}

// TestNothingIsFetched looks for every way in which an SVG file makes a browser
// ask for something: only the names of the two namespaces look like addresses.
func TestNothingIsFetched(t *testing.T) {
	svg := render(t, mustNew(t, folded("main;a 3", "gc 1"), Options{}))
	allowed := map[string]bool{"http://www.w3.org/2000/svg": true, "http://www.w3.org/1999/xhtml": true}
	for _, address := range regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^\s"'<>)]*`).FindAllString(string(svg), -1) {
		if !allowed[address] {
			t.Errorf("address %q", address)
		}
	}
	if bad := regexp.MustCompile(`(?i)@import|@font-face|url\(|\b(href|src|srcset|data|action)\s*=|fetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(|importScripts|<!DOCTYPE|<!ENTITY|<\?xml-stylesheet`).FindAllString(strings.ReplaceAll(string(svg), "const data =", ""), -1); bad != nil {
		t.Errorf("references: %q", bad)
	}
	// What turns text into code or markup has no place in the script.
	if bad := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\]\]>`).FindAllString(program, -1); bad != nil {
		t.Errorf("the script uses %q", bad)
	}
}

var hostileNames = []string{
	`</text></svg><script>alert(1)</script>`, `a & b < c > d "e" 'f'`, "]]>", "]]><script>alert(1)</script>", "<![CDATA[", "-->", "<!--", "</script>", "&lt;&#x3c;&unknown;",
	"null\x00and\x01bell\x07and\x1b[31m", "bad\xff\xfeutf8\xc3", "line\nbreak\ttab\r", "right\u202eto\u202cleft", "\ufffe\uffff\u2028\u2029", "𝔘𝔫𝔦", "{{.}}", `\u003cscript\u003e`, "__proto__", "constructor",
	"std::map<" + strings.Repeat("std::pair<int, ", 700) + ">::insert", strings.Repeat("é", 5000), strings.Repeat("\xff", 5000), "onload=alert(1)", "javascript:alert(1)", "all",
}

func TestHostileNamesStayText(t *testing.T) {
	b := newBuilder(&profile.ValueType{Type: "cpu<&\x00", Unit: "nano\"]]>"})
	for _, n := range hostileNames {
		f := b.function(n)
		f.Filename = n
		l := &profile.Location{ID: uint64(len(b.p.Location) + 1), Mapping: b.p.Mapping[0], Line: []profile.Line{{Function: f, Line: -5}}}
		b.p.Location = append(b.p.Location, l)
		b.p.Sample = append(b.p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{10}})
	}
	b.p.Mapping[0].File = hostileNames[0]
	g := mustNew(t, b.p, Options{Title: hostileNames[3], Subtitle: strings.Repeat(hostileNames[0], 100)})
	svg := render(t, g)
	p := parse(t, svg)
	checkSafe(t, svg, p)
	d := p.document(t)
	for _, n := range hostileNames {
		if !slices.Contains(d.Names, printable(n)) {
			t.Errorf("the name %.40q is missing", printable(n))
		}
	}
	if len(svg) > 120_000 {
		t.Errorf("%d bytes for %d frames: long names are not cut", len(svg), len(hostileNames))
	}
}

// checkSafe checks that no text of the profile became an element, an attribute
// or a script, and that it can be shown.
func checkSafe(t testing.TB, svg []byte, p picture) {
	t.Helper()
	if !utf8.Valid(svg) {
		t.Error("not UTF-8")
	}
	known := []string{"svg", "title", "style", "rect", "g", "text", "script"}
	for e := range p.elements {
		if !slices.Contains(known, e) {
			t.Errorf("element %q", e)
		}
	}
	if len(p.scripts) != 2 || p.scripts[1] != "\n"+program {
		t.Errorf("%d scripts, want the data and the program", len(p.scripts))
	}
	attributes := []string{"xmlns", "class", "width", "height", "viewBox", "x", "y", "rx", "data-height", "type"}
	for _, a := range p.attrs {
		if !slices.Contains(attributes, a.Name.Local) || strings.ContainsAny(a.Value, "<>&'\"\n") {
			t.Errorf("attribute %s=%q", a.Name.Local, a.Value)
		}
	}
	for _, r := range p.scripts[0] + strings.Join(p.texts, "") {
		if r < ' ' && r != '\n' || r == '\u202e' {
			t.Errorf("control character %U", r)
		}
	}
}

func TestDeepAndWide(t *testing.T) {
	deep := strings.Repeat("frame;", 1500)
	lines := []string{deep + "leaf 500"}
	for i := range 30_000 {
		lines = append(lines, fmt.Sprintf("main;dispatch;handler%d;work%d 1", i%200, i))
	}
	g := mustNew(t, folded(lines...), Options{})
	svg := render(t, g)
	checkSafe(t, svg, parse(t, svg))
	if len(svg) > 600_000 {
		t.Errorf("%d bytes", len(svg))
	}
	if g.tree.narrow != 30_000 {
		t.Errorf("%d frames left out, want the 30,000 of one sample each", g.tree.narrow)
	}
}

func TestSameProfileSameBytes(t *testing.T) {
	lines := []string{"main;a 3", "main;b;c 60", "gc 9", "main;b+d 31", "gc;mark 9"}
	first := render(t, mustNew(t, folded(lines...), Options{}))
	slices.Reverse(lines)
	if !bytes.Equal(first, render(t, mustNew(t, folded(lines...), Options{}))) {
		t.Error("the order of the samples changes the file")
	}
}

type fullDisk struct{ room int }

var errFull = errors.New("no space left")

func (d *fullDisk) Write(b []byte) (int, error) {
	if len(b) > d.room {
		return 0, errFull
	}
	d.room -= len(b)
	return len(b), nil
}

func TestWriteErrorIsReported(t *testing.T) {
	g := mustNew(t, folded("main;a 3"), Options{})
	size := len(render(t, g))
	for _, room := range []int{0, size - 1} {
		if err := g.WriteSVG(&fullDisk{room: room}); !errors.Is(err, errFull) {
			t.Errorf("a disk with %d of %d bytes left: error %v", room, size, err)
		}
	}
}

// FuzzNew draws whatever parses as a profile.
func FuzzNew(f *testing.F) {
	for _, lines := range [][]string{{"main;a+b 3", "gc 1"}, {" 1"}, {"x -1"}, {"[lost: x] 5", "]]>;<a>;&\x00\xff 9"}} {
		var b bytes.Buffer
		if err := folded(lines...).WriteUncompressed(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes(), "title<", "", 0.01, 50)
	}
	f.Fuzz(func(t *testing.T, raw []byte, title, sampleType string, width float64, limit int) {
		p, err := profile.ParseData(raw)
		if err != nil {
			return
		}
		g, err := New(p, Options{Title: title, Subtitle: title, SampleType: sampleType, MinWidth: width, MaxFrames: limit})
		if err != nil {
			return
		}
		svg := render(t, g)
		checkSafe(t, svg, parse(t, svg))
	})
}

// BenchmarkGraph draws 100,000 distinct stacks of 40 frames from 5,000
// functions, the first half of each shared with others.
func BenchmarkGraph(b *testing.B) {
	p := manyStacks(100_000, 40)
	b.ReportAllocs()
	for b.Loop() {
		g := mustNew(b, p, Options{})
		var n counter
		if err := g.WriteSVG(&n); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n), "svg-bytes")
		b.ReportMetric(float64(len(g.tree.nodes)), "frames")
	}
}

type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// manyStacks spreads samples as programs do: few ways near the root, many near
// the leaves.
func manyStacks(n, depth int) *profile.Profile {
	b := newBuilder(&profile.ValueType{Type: "samples", Unit: "count"})
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("github.com/example/service/internal/part%d.(*Handler).Step%d", i%50, i)
	}
	stack := make([]string, depth)
	state := uint64(1)
	for range n {
		way := uint64(0)
		for d := range stack {
			state = state*6364136223846793005 + 1442695040888963407
			if d%4 == 0 || d > depth/2 {
				way = way*31 + (state>>33)%3
			}
			stack[d] = names[(way*uint64(d+7)+uint64(d))%uint64(len(names))]
		}
		b.sample([]int64{1}, stack...)
	}
	return b.p
}
