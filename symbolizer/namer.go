package symbolizer

import (
	"fmt"
	"path"
	"strings"

	"github.com/google/pprof/profile"
)

// unknownFrame names a location of which nothing is known.
const unknownFrame = "[unknown]"

// A namer gives names to locations of one profile and gathers the functions that they
// need, each once, for the roster.
type namer struct {
	roster    *roster
	functions map[profile.Function]*profile.Function // beside those of the roster, by all but their ID
	slabs     [][]profile.Function                   // all that were made; the last has room
	replaced  map[*profile.Function]bool             // placeholders that lost a location
	lines     []profile.Line                         // room for lines
	room      int                                    // how much was made last
}

func (n *namer) function(f profile.Function) *profile.Function {
	if known, ok := n.roster.functions[f]; ok {
		return known
	}
	if known, ok := n.functions[f]; ok {
		return known
	}
	if n.functions == nil {
		n.functions = make(map[profile.Function]*profile.Function)
	}
	added := n.add(f)
	n.functions[f] = added
	return added
}

// add makes a function without looking for one that is the same.
func (n *namer) add(f profile.Function) *profile.Function {
	last := len(n.slabs) - 1
	if last < 0 || len(n.slabs[last]) == cap(n.slabs[last]) {
		const fewest, most = 16, 512
		room := fewest
		if last >= 0 {
			room = min(2*cap(n.slabs[last]), most)
		}
		n.slabs = append(n.slabs, make([]profile.Function, 0, room))
		last++
	}
	n.slabs[last] = append(n.slabs[last], f)
	return &n.slabs[last][len(n.slabs[last])-1]
}

// name gives a location its frames, innermost first, as pprof has them.
func (n *namer) name(l *profile.Location, frames []frame) {
	lines := make([]profile.Line, len(frames))
	for i, f := range frames {
		lines[i] = profile.Line{Line: f.line, Function: n.function(profile.Function{
			Name: f.name, SystemName: f.systemName, Filename: f.file, StartLine: f.startLine,
		})}
	}
	n.setLines(l, lines)
}

// placeholder names a location by its address.
func (n *namer) placeholder(l *profile.Location, addr uint64) {
	name := placeholderName(l.Mapping, addr)
	n.setLines(l, []profile.Line{{Function: n.function(profile.Function{Name: name, SystemName: name})}})
}

// keep returns a copy of lines that stays. Many copies share an allocation, and all
// locations of one piece of code share a copy: appending to one's lines copies them.
func (n *namer) keep(lines []profile.Line) []profile.Line {
	if len(n.lines) < len(lines) {
		const fewest, most = 64, 4096
		n.room = max(fewest, min(2*n.room, most))
		n.lines = make([]profile.Line, max(n.room, len(lines)))
	}
	copied := n.lines[:len(lines):len(lines)]
	n.lines = n.lines[len(lines):]
	copy(copied, lines)
	return copied
}

func (n *namer) setLines(l *profile.Location, lines []profile.Line) {
	for _, old := range l.Line {
		if n.replaced == nil {
			n.replaced = make(map[*profile.Function]bool)
		}
		n.replaced[old.Function] = true
	}
	l.Line = lines
}

// placeholderName is the name of a frame whose function is not known.
func placeholderName(m *profile.Mapping, addr uint64) string {
	if m == nil || m.File == "" {
		return unknownFrame
	}
	return fmt.Sprintf("[%s+%#x]", baseName(m.File), addr)
}

// baseName is the last element of a mapping's file, without the brackets of
// pseudo files and without what the kernel appends to deleted ones.
func baseName(file string) string {
	base := path.Base(strings.TrimSuffix(file, " (deleted)"))
	if len(base) > 2 && base[0] == '[' && base[len(base)-1] == ']' {
		base = base[1 : len(base)-1]
	}
	return clean(base)
}

// isPlaceholder reports whether a location has no more than the name that this
// package gives where the function is not known.
func isPlaceholder(l *profile.Location) bool {
	if len(l.Line) != 1 || l.Line[0].Function == nil || l.Line[0].Line != 0 {
		return false
	}
	name := l.Line[0].Function.Name
	if name == "" || name[0] != '[' {
		return false
	}
	if l.Mapping == nil || l.Mapping.File == "" {
		return name == unknownFrame
	}
	digits, found := strings.CutPrefix(name, "["+baseName(l.Mapping.File)+"+0x")
	return found && strings.Trim(digits, "0123456789abcdef") == "]"
}

// setFlags sets what a mapping says about its locations.
func setFlags(g *mappingGroup) {
	m := g.mapping
	if m == nil {
		return
	}
	m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames = false, false, false, false
	for _, l := range g.locations {
		if isPlaceholder(l) {
			continue
		}
		m.HasInlineFrames = m.HasInlineFrames || len(l.Line) > 1
		for _, line := range l.Line {
			m.HasLineNumbers = m.HasLineNumbers || line.Line > 0
			if line.Function != nil {
				m.HasFunctions = m.HasFunctions || line.Function.Name != ""
				m.HasFilenames = m.HasFilenames || line.Function.Filename != ""
			}
		}
	}
}
