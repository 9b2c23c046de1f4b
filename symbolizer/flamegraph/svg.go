package flamegraph

import (
	"bufio"
	_ "embed"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

//go:embed graph.css
var styleSheet string

//go:embed graph.js
var program string

const (
	nominalWidth = 1200 // of the file where no script widens it, in pixels
	rowHeight    = 18
	boxHeight    = 17
	// charWidth is a cautious mean for a 12-pixel sans-serif font; labels are
	// clipped to their frames besides.
	charWidth = 6.8
	// The chart's margins, in percent so that they need no script.
	chartLeft, chartWidth = 0.8, 98.4
)

// WriteSVG writes the graph as one SVG document, the same bytes for the same
// profile. Without script it is a picture; opened in a browser, its script
// zooms, searches and describes frames.
func (g *Graph) WriteSVG(w io.Writer) error {
	l := place(&g.tree, g.maxFrames)
	d := &drawing{Writer: bufio.NewWriterSize(w, 1<<16), g: g, l: l}
	top := d.headHeight()
	height := top + l.rows*rowHeight + 14
	fmt.Fprintf(d, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<svg xmlns="http://www.w3.org/2000/svg" class="flame" width="%d" height="%d" viewBox="0 0 %d %d">`+"\n",
		nominalWidth, height, nominalWidth, height)
	fmt.Fprintf(d, "<title>%s</title>\n<style><![CDATA[\n%s%s]]></style>\n", escape(g.title), styleSheet, styles())
	fmt.Fprintf(d, `<rect class="back" width="100%%" height="%d"/>`+"\n", height)
	d.chart(top)
	d.head(top)
	if err := d.data(); err != nil {
		return fmt.Errorf("encoding the flame graph's data: %w", err)
	}
	fmt.Fprintf(d, "<script><![CDATA[\n%s]]></script>\n</svg>\n", program)
	if err := d.Flush(); err != nil {
		return fmt.Errorf("writing the flame graph: %w", err)
	}
	return nil
}

// drawing is one graph being written.
type drawing struct {
	*bufio.Writer
	g *Graph
	l layout
}

// headHeight is the room for title, totals, provenance, legend and the row that
// the script fills with the way back from a zoom.
func (d *drawing) headHeight() int {
	if d.g.subtitle == "" {
		return 98
	}
	return 116
}

// head writes what stands above the frames, last in the file so that it covers
// them while they scroll.
func (d *drawing) head(height int) {
	fmt.Fprintf(d, `<g class="head" data-height="%d"><rect class="back" width="100%%" height="%d"/>`, height, height-2)
	line := func(y float64, class, text string) {
		fmt.Fprintf(d, `<text class="%s" x="%v%%" y="%v">%s</text>`, class, chartLeft, y, escape(text))
	}
	fmt.Fprintf(d, `<svg width="60%%" height="34"><text class="title ink" x="%v%%" y="27">%s</text></svg>`, chartLeft*100/60, escape(d.g.title))
	line(48, "ink", d.summary())
	y := 66.0
	if d.g.subtitle != "" {
		line(y, "faint", d.g.subtitle)
		y += 18
	}
	d.legend(y)
	fmt.Fprintf(d, `<text class="faint static" x="%v%%" y="%v">Open this file in a browser to zoom and search.</text>`, chartLeft, y+18)
	d.WriteString("</g>\n")
}

// summary says what the whole is, how many samples stand behind it, and what
// the picture leaves out.
func (d *drawing) summary() string {
	g, root := d.g, d.g.tree.nodes[0]
	s := g.measure.name + ": " + g.measure.format(root.total)
	switch {
	case g.measure.count < 0:
		s += " in " + plural(int64(g.tree.stacks), "stack")
	case g.measure.count != g.measure.index:
		s += " in " + thousands(root.count) + " " + g.measure.countName
	}
	if g.tree.narrow > 0 {
		more := ""
		if g.tree.narrowMore {
			more = "more than "
		}
		s += fmt.Sprintf(" · %s%s narrower than %s %% not drawn", more, plural(int64(g.tree.narrow), "frame"), strconv.FormatFloat(100*g.minWidth, 'g', 4, 64))
	}
	if d.l.over > 0 {
		s += fmt.Sprintf(" · %s more not drawn: the %s widest are", plural(int64(d.l.over), "frame"), thousands(int64(len(d.l.boxes))))
	}
	if g.tree.cut > 0 {
		s += fmt.Sprintf(" · %s deeper than %s frames, cut there", plural(int64(g.tree.cut), "stack"), thousands(maxDepth))
	}
	return s
}

// legend writes a swatch for each kind of frame that has weight or is drawn,
// with the share of the whole that was spent in that kind itself.
func (d *drawing) legend(y float64) {
	var drawn [kinds]bool
	inlined := false
	for _, b := range d.l.boxes[1:] {
		f := &d.g.tree.frames[b.frame]
		drawn[f.kind] = true
		inlined = inlined || f.inlined
	}
	x := 0.0
	fmt.Fprintf(d, `<svg x="%v%%">`, chartLeft)
	entry := func(class, text string) {
		fmt.Fprintf(d, `<rect class="%s" x="%.1f" y="%v" width="11" height="11" rx="2"/><text class="faint" x="%.1f" y="%v">%s</text>`, class, x, y-10, x+16, y, escape(text))
		x += 16 + 6.4*float64(utf8.RuneCountInString(text)) + 16
	}
	for k, self := range d.g.tree.selfByKind {
		if self > 0 || drawn[k] {
			share := 100 * float64(self) / float64(d.g.tree.nodes[0].total)
			entry(fmt.Sprintf("%c3", 'a'+k), fmt.Sprintf("%s %.1f %% self", kindNames[k], share))
		}
	}
	if inlined {
		entry("c3 inlined", "paler, italic: inlined into its caller")
	}
	d.WriteString("</svg>")
}

// chart writes the frames and those labels that fit at the nominal width.
func (d *drawing) chart(top int) {
	fmt.Fprintf(d, `<svg class="chart" x="%v%%" y="%d" width="%v%%" height="%d">`+"\n"+`<g class="frames">`+"\n", chartLeft, top, chartWidth, d.l.rows*rowHeight)
	whole := float64(d.l.boxes[0].total)
	for _, b := range d.l.boxes {
		fmt.Fprintf(d, `<rect x="%s%%" y="%d" width="%s%%" height="%d" class="%s"/>`+"\n",
			decimal(100*float64(b.x)/whole), int(b.depth)*rowHeight, decimal(100*float64(b.total)/whole), boxHeight, d.class(b))
	}
	d.WriteString(`</g><g class="labels">` + "\n")
	for _, b := range d.l.boxes {
		width := float64(b.total) / whole * nominalWidth * chartWidth / 100
		label := fit(d.name(b), int((width-8)/charWidth))
		if label == "" {
			continue
		}
		style := ""
		if b.frame >= 0 && d.g.tree.frames[b.frame].inlined {
			style = ` class="italic"`
		}
		fmt.Fprintf(d, `<svg x="%s%%" y="%d" width="%s%%" height="%d"><text x="4" y="12.5"%s>%s</text></svg>`+"\n",
			decimal(100*float64(b.x)/whole), int(b.depth)*rowHeight, decimal(100*float64(b.total)/whole), boxHeight, style, escape(label))
	}
	d.WriteString("</g></svg>\n")
}

func (d *drawing) name(b box) string {
	if b.frame < 0 {
		return "all"
	}
	return printable(d.g.tree.frames[b.frame].name)
}

func (d *drawing) class(b box) string {
	if b.frame < 0 {
		return "root"
	}
	f := &d.g.tree.frames[b.frame]
	c := class(f.kind, f.name)
	if f.inlined {
		c += " inlined"
	}
	return c
}

// escape returns s as text of an XML element or attribute.
func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}

// decimal prints a percentage to four digits after the point, a thousandth of a
// pixel on any screen, without trailing zeros.
func decimal(x float64) string {
	s := strconv.FormatFloat(x, 'f', 4, 64)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}
