package symbolizer

import (
	"maps"
	"slices"

	"github.com/google/pprof/profile"
)

// A roster is the functions of one profile. Namers of several goroutines read it, while
// nobody adds to it.
type roster struct {
	profile   *profile.Profile
	functions map[profile.Function]*profile.Function // by all but their ID
	used      map[uint64]bool                        // IDs
	next      uint64
	replaced  map[*profile.Function]bool // placeholders that lost a location
}

func newRoster(p *profile.Profile) *roster {
	r := &roster{
		profile: p, next: 1,
		functions: make(map[profile.Function]*profile.Function, len(p.Function)),
		used:      make(map[uint64]bool, len(p.Function)),
		replaced:  make(map[*profile.Function]bool),
	}
	for _, f := range p.Function {
		r.functions[contents(f)] = f
		r.used[f.ID] = true
	}
	return r
}

// contents returns what makes two functions the same.
func contents(f *profile.Function) profile.Function {
	return profile.Function{Name: f.Name, SystemName: f.SystemName, Filename: f.Filename, StartLine: f.StartLine}
}

// take adds the functions that a namer made for some locations to the profile. Of
// those that another namer made as well, the locations get the ones that are there.
func (r *roster) take(n *namer, locations []*profile.Location) {
	same := map[*profile.Function]*profile.Function{}
	for f, made := range n.functions {
		if known, ok := r.functions[f]; ok {
			same[made] = known
		} else {
			r.functions[f] = made
		}
	}
	count := 0
	for _, slab := range n.slabs {
		count += len(slab)
	}
	r.profile.Function = slices.Grow(r.profile.Function, count)
	for _, slab := range n.slabs {
		for i := range slab {
			f := &slab[i]
			if len(same) > 0 && same[f] != nil {
				continue
			}
			for r.next == 0 || len(r.used) > 0 && r.used[r.next] {
				r.next++
			}
			f.ID = r.next
			r.next++
			r.profile.Function = append(r.profile.Function, f)
		}
	}
	maps.Copy(r.replaced, n.replaced)
	if len(same) == 0 {
		return
	}
	for _, l := range locations {
		for i, line := range l.Line {
			if known := same[line.Function]; known != nil {
				l.Line[i].Function = known
			}
		}
	}
}

// finish removes the placeholders that no location uses any more.
func (r *roster) finish() {
	if len(r.replaced) == 0 {
		return
	}
	for _, l := range r.profile.Location {
		for _, line := range l.Line {
			delete(r.replaced, line.Function)
		}
	}
	kept := r.profile.Function[:0]
	for _, f := range r.profile.Function {
		if !r.replaced[f] {
			kept = append(kept, f)
		}
	}
	clear(r.profile.Function[len(kept):])
	r.profile.Function = kept
}
