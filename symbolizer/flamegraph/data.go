package flamegraph

import (
	"cmp"
	"encoding/json"
	"path"
	"slices"
)

// maxHidden bounds the names listed of frames that are not drawn.
const maxHidden = 1000

// document is what the script reads: texts once each, frames as [name, kind,
// binary, file, inlined] with -1 for an unknown text, and the nodes in preorder
// as rows of frame, depth, total, self, samples, first line, further lines.
// Hidden is the value of frames not drawn, as pairs of a name and a value, the
// largest first; Elsewhere is the value of those that are not listed.
type document struct {
	Family    string   `json:"family"`
	Factor    float64  `json:"factor"`
	Unit      string   `json:"unit"`
	Counted   string   `json:"counted"`
	Kinds     []string `json:"kinds"`
	Names     []string `json:"names"`
	Texts     []string `json:"texts"`
	Frames    [][5]int `json:"frames"`
	Nodes     []int64  `json:"nodes"`
	Hidden    []int64  `json:"hidden"`
	Elsewhere int64    `json:"elsewhere"`
}

// data writes the script's input. encoding/json writes <, > and & as escapes,
// so that no text can end the element.
func (d *drawing) data() error {
	g := d.g
	doc := document{Frames: [][5]int{}, Unit: g.measure.unit, Counted: g.measure.countName, Kinds: kindNames[:]}
	if g.measure.count < 0 {
		doc.Counted = "stacks"
	}
	if s, ok := scales[g.measure.unit]; ok {
		doc.Family, doc.Factor = s.family, s.factor
	}
	names, texts, frames := newTable(), newTable(), map[int32]int{}
	for _, b := range d.l.boxes {
		at := -1
		if b.frame >= 0 {
			var seen bool
			if at, seen = frames[b.frame]; !seen {
				at = len(doc.Frames)
				frames[b.frame] = at
				doc.Frames = append(doc.Frames, g.tree.frames[b.frame].row(names, texts))
			}
		}
		low, span := b.lineLow, b.lineHigh-b.lineLow
		if b.frame < 0 || g.tree.frames[b.frame].severalFiles {
			low, span = 0, 0
		}
		doc.Nodes = append(doc.Nodes, int64(at), int64(b.depth), b.total, b.self, b.count, int64(low), int64(span))
	}
	doc.Hidden, doc.Elsewhere = d.hidden(names)
	doc.Names, doc.Texts = names.list, texts.list
	d.WriteString(`<script type="application/json" class="data">`)
	if err := json.NewEncoder(d).Encode(doc); err != nil {
		return err
	}
	d.WriteString("</script>\n")
	return nil
}

// hidden lists what a search of the drawn frames cannot see, by name, so that
// the script can bound it.
func (d *drawing) hidden(names *table) (pairs []int64, elsewhere int64) {
	type item struct {
		frame int
		value int64
	}
	items := []item{}
	for f, v := range d.l.hidden {
		if v > 0 {
			items = append(items, item{f, v})
		}
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.frame, b.frame))
	})
	whole := d.g.tree.nodes[0].total
	pairs, elsewhere = []int64{}, d.g.tree.beyond
	for i, it := range items {
		if i < maxHidden {
			pairs = append(pairs, int64(names.index(printable(d.g.tree.frames[it.frame].name))), it.value)
			continue
		}
		if it.value > whole-elsewhere {
			return pairs, whole // more than all cannot be hidden
		}
		elsewhere += it.value
	}
	return pairs, elsewhere
}

func (f *frame) row(names, texts *table) [5]int {
	r := [5]int{names.index(printable(f.name)), int(f.kind), -1, -1, 0}
	if f.binary != "" {
		r[2] = texts.index(printable(f.binary))
	}
	switch {
	case f.severalFiles:
		r[3] = texts.index("several files, one of them " + printable(path.Base(f.file)))
	case f.file != "":
		r[3] = texts.index(printable(f.file))
	}
	if f.inlined {
		r[4] = 1
	}
	return r
}

// table numbers texts in the order of their first use.
type table struct {
	list []string
	at   map[string]int
}

func newTable() *table { return &table{list: []string{}, at: map[string]int{}} }

func (t *table) index(s string) int {
	i, ok := t.at[s]
	if !ok {
		i = len(t.list)
		t.list = append(t.list, s)
		t.at[s] = i
	}
	return i
}
