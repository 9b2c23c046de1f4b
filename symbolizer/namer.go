package symbolizer

import (
	"fmt"
	"path"
	"strings"

	"github.com/google/pprof/profile"
)

// unknownFrame names a location of which nothing is known.
const unknownFrame = "[unknown]"

// A namer gives names to the locations of one profile and adds the functions to
// it, each once.
type namer struct {
	profile   *profile.Profile
	functions map[profile.Function]*profile.Function // by all but their ID
	used      map[uint64]bool                        // IDs
	next      uint64
	replaced  map[*profile.Function]bool // placeholders that lost a location
	slab      []profile.Line             // room for lines
	room      []profile.Function         // and for functions
}

func newNamer(p *profile.Profile) *namer {
	n := &namer{
		profile: p, next: 1,
		functions: make(map[profile.Function]*profile.Function, len(p.Function)),
		used:      make(map[uint64]bool, len(p.Function)),
	}
	for _, f := range p.Function {
		n.functions[contents(f)] = f
		n.used[f.ID] = true
	}
	return n
}

// contents returns what makes two functions the same.
func contents(f *profile.Function) profile.Function {
	return profile.Function{Name: f.Name, SystemName: f.SystemName, Filename: f.Filename, StartLine: f.StartLine}
}

func (n *namer) function(f profile.Function) *profile.Function {
	if known, ok := n.functions[f]; ok {
		return known
	}
	added := n.add(f)
	n.functions[f] = added
	return added
}

// add adds a function to the profile without looking for one that is the same.
func (n *namer) add(f profile.Function) *profile.Function {
	for n.next == 0 || len(n.used) > 0 && n.used[n.next] {
		n.next++
	}
	const slab = 64
	if len(n.room) == 0 {
		n.room = make([]profile.Function, slab)
	}
	added := &n.room[0]
	n.room = n.room[1:]
	*added = f
	added.ID = n.next
	n.next++
	n.profile.Function = append(n.profile.Function, added)
	return added
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

// share gives a location a copy of lines. Many copies share an allocation.
func (n *namer) share(l *profile.Location, lines []profile.Line) {
	const slab = 4096
	if len(n.slab) < len(lines) {
		n.slab = make([]profile.Line, max(slab, len(lines)))
	}
	copied := n.slab[:len(lines):len(lines)]
	n.slab = n.slab[len(lines):]
	copy(copied, lines)
	n.setLines(l, copied)
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

// finish removes the placeholders that no location uses any more.
func (n *namer) finish() {
	if len(n.replaced) == 0 {
		return
	}
	for _, l := range n.profile.Location {
		for _, line := range l.Line {
			delete(n.replaced, line.Function)
		}
	}
	kept := n.profile.Function[:0]
	for _, f := range n.profile.Function {
		if !n.replaced[f] {
			kept = append(kept, f)
		}
	}
	clear(n.profile.Function[len(kept):])
	n.profile.Function = kept
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
func setFlags(g mappingGroup) {
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
