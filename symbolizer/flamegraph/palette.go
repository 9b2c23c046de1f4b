package flamegraph

import (
	"fmt"
	"hash/fnv"
	"math"
	"strings"
)

// shades is the number of colours of one kind: enough that neighbours differ,
// few enough that the kinds stay apart.
const shades = 7

// hues are the colours of the kinds: hue in degrees and its spread, saturation,
// and the lightness of the darkest and lightest shade. Hues and lightness are
// chosen to stay apart for readers who confuse red and green.
var hues = [kinds]struct{ hue, spread, saturation, dark, light float64 }{
	kindKernel:      {10, 14, 0.80, 0.68, 0.76},
	kindNative:      {40, 12, 0.85, 0.64, 0.76},
	kindGo:          {190, 16, 0.58, 0.66, 0.78},
	kindInterpreted: {100, 30, 0.42, 0.66, 0.76},
	kindUnknown:     {220, 0, 0.03, 0.76, 0.84},
	kindLost:        {320, 12, 0.22, 0.74, 0.80},
}

// nightfall is how much less light the frames give in dark mode.
const nightfall = 0.08

// Colours around the frames, in light and in dark mode.
type theme struct {
	back, ink, faint, line, label, match string
	inlined                              float64 // the opacity of inlined frames
}

var (
	day   = theme{inlined: 0.7, back: "#ffffff", ink: "#1b1f24", faint: "#5b6470", line: "#d0d5db", label: "#14171a", match: "#e879f9"}
	night = theme{inlined: 0.85, back: "#15181c", ink: "#e4e8ec", faint: "#9aa4af", line: "#3a414a", label: "#0c0e10", match: "#e879f9"}
)

// class is the style class of a frame: its kind and a shade that depends on
// nothing but the function's name.
func class(k kind, name string) string {
	h := fnv.New32a()
	h.Write([]byte(name))
	return fmt.Sprintf("%c%d", 'a'+byte(k), h.Sum32()%shades)
}

// fill returns the colour of one shade as #rrggbb.
func fill(k kind, shade int, dark bool) string {
	c := hues[k]
	at := float64(shade) / (shades - 1)
	light := c.dark + at*(c.light-c.dark)
	if dark {
		light -= nightfall
	}
	// Neighbouring shades alternate in hue, so that both properties vary.
	hue := c.hue + c.spread*float64(shade*3%shades)/(shades-1)
	return hex(hue, c.saturation, light)
}

// hex converts hue (degrees), saturation and lightness (0 to 1) to #rrggbb, by
// the conversion of CSS Color Module Level 4, section 7.1.
func hex(hue, saturation, lightness float64) string {
	a := saturation * min(lightness, 1-lightness)
	channel := func(n float64) int {
		k := math.Mod(n+hue/30, 12)
		return int(math.Round(255 * (lightness - a*max(-1, min(k-3, 9-k, 1)))))
	}
	return fmt.Sprintf("#%02x%02x%02x", channel(0), channel(8), channel(4))
}

// styles returns the style sheet's colours for both modes.
func styles() string {
	var b strings.Builder
	write := func(t theme, dark bool) {
		fmt.Fprintf(&b, "svg.flame{background:%s;color:%s}.back{fill:%s}.ink{fill:%s}.faint{fill:%s}.rule{fill:%s}", t.back, t.ink, t.back, t.ink, t.faint, t.line)
		fmt.Fprintf(&b, ".frames rect{stroke:%s}.labels{fill:%s}.root{fill:%s}.frames .match{fill:%s}.inlined{fill-opacity:%v}\n", t.back, t.label, t.line, t.match, t.inlined)
		fmt.Fprintf(&b, "svg.flame{--back:%s;--ink:%s;--faint:%s;--line:%s}\n", t.back, t.ink, t.faint, t.line)
		for k := range kind(kinds) {
			for s := range shades {
				fmt.Fprintf(&b, ".%c%d{fill:%s}", 'a'+byte(k), s, fill(k, s, dark))
			}
		}
	}
	write(day, false)
	b.WriteString("\n@media (prefers-color-scheme:dark){\n")
	write(night, true)
	b.WriteString("}\n")
	return b.String()
}
