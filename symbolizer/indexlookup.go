package symbolizer

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

// A lookup names the locations of one mapping in the order of their addresses.
type lookup struct {
	namer *namer
	stats *BinaryStatistics
	room  *room

	places    []lookedUp          // sorted by address
	functions []*profile.Function // by number, as far as they were asked for
	stack     []index.Position
	lines     []profile.Line // of the stack, which locations share
	making    []profile.Line
}

// An indexLookup looks them up in an index.
type indexLookup struct {
	*lookup
	*indexed

	rest    []*profile.Location // of which the index does not know
	node    uint32              // looked up last
	hasNode bool
}

// room is memory that lookups take one after the other.
type room struct {
	places, sorted []lookedUp
	builder        index.Builder
}

// lookedUp is an address that is looked up for a location.
type lookedUp struct {
	address  uint64
	location *profile.Location
}

// place finds out what is to be looked up for locations, in the order of addresses, in
// which an index is read fastest. Those that are not in the code have no names.
func (l *lookup) place(r binaryResolver, locations []*profile.Location) {
	l.room.places = slices.Grow(l.room.places[:0], len(locations))
	places := l.room.places
	var segment binary.Segment
	for _, at := range locations {
		offset := at.Address - r.mapping.Start + r.mapping.Offset
		if offset-segment.Offset >= segment.Filesz {
			var ok bool
			if segment, ok = r.binary.file.Segment(offset); !ok {
				segment = binary.Segment{}
				l.namer.placeholder(at, at.Address)
				l.stats.unnamed(NotCode, 1)
				continue
			}
		}
		places = append(places, lookedUp{segment.Address(offset), at})
	}
	l.room.sorted = slices.Grow(l.room.sorted[:0], len(places))[:len(places)]
	l.places = sortByAddress(places, l.room.sorted)
}

// setLines makes the lines of the stack.
func (l *lookup) setLines(function func(id uint32) (*profile.Function, error)) error {
	l.making = l.making[:0]
	for _, at := range l.stack {
		f, err := function(at.Function)
		if err != nil {
			return err
		}
		l.making = append(l.making, profile.Line{Function: f, Line: int64(at.Line)})
	}
	l.lines = l.namer.keep(l.making)
	return nil
}

// share gives a location the lines of the stack.
func (l *lookup) share(at *profile.Location) {
	l.namer.setLines(at, l.lines)
	l.stats.Named++
	l.stats.Frames += len(l.lines)
}

// add makes a function of the profile. It is not looked for among those of other binaries:
// that would take longer than all the rest.
func (l *lookup) add(id uint32, f index.Function) *profile.Function {
	made := l.namer.add(profile.Function{Name: f.Name, SystemName: f.SystemName, Filename: f.File, StartLine: int64(f.StartLine)})
	l.functions[id] = made
	return made
}

// name names the places. It returns what the index does not know, and after an error what
// was not looked up.
func (l *indexLookup) name(ctx context.Context) ([]*profile.Location, error) {
	for i, p := range l.places {
		err := error(nil)
		if i%4096 == 0 {
			err = ctx.Err()
		}
		if err == nil {
			err = l.one(p)
		}
		if err != nil {
			for _, p := range l.places[i:] {
				l.rest = append(l.rest, p.location)
			}
			return l.rest, err
		}
	}
	return l.rest, nil
}

// one names one location.
func (l *indexLookup) one(p lookedUp) error {
	node, knowledge, err := l.file.Find(p.address)
	if err != nil {
		return err
	}
	switch knowledge {
	case index.Unknown:
		l.rest = append(l.rest, p.location)
		return nil
	case index.Nobody:
		l.namer.placeholder(p.location, p.address)
		l.stats.unnamed(NoSymbol, 1)
		return nil
	}
	if !l.hasNode || node != l.node {
		l.hasNode = false
		if l.stack, err = l.file.Stack(node, l.stack[:0]); err != nil {
			return err
		}
		if err := l.setLines(l.function); err != nil {
			return err
		}
		l.node, l.hasNode = node, true
	}
	l.share(p.location)
	return nil
}

// function returns a function of the index as one of the profile.
func (l *indexLookup) function(id uint32) (*profile.Function, error) {
	if int(id) < len(l.functions) && l.functions[id] != nil {
		return l.functions[id], nil
	}
	f, err := l.file.Function(id)
	if err != nil {
		return nil, err
	}
	if f.Name == "" {
		var known bool
		if f.Name, known = l.names[id]; !known {
			f.Name = forPeople(f.SystemName, f.Source)
			l.names[id] = f.Name
		}
	}
	if l.functions == nil {
		l.functions = make([]*profile.Function, l.file.Functions())
	}
	return l.add(id, f), nil
}

// sortByAddress sorts by the bytes of the addresses, the least significant first, as
// far as they differ: profiles have thousands of addresses in one binary. The result
// is in one of the two slices, which are of the same length.
func sortByAddress(from, to []lookedUp) []lookedUp {
	const few = 64
	if len(from) < few {
		slices.SortFunc(from, func(a, b lookedUp) int { return cmp.Compare(a.address, b.address) })
		return from
	}
	differ := uint64(0)
	sorted := true
	for i, p := range from {
		differ |= p.address ^ from[0].address
		sorted = sorted && (i == 0 || from[i-1].address <= p.address)
	}
	if sorted {
		return from
	}
	const digit = 11
	for shift := 0; shift < 64 && differ>>shift != 0; shift += digit {
		var starts [1 << digit]int
		for _, p := range from {
			starts[p.address>>shift&(1<<digit-1)]++
		}
		at := 0
		for i, n := range starts {
			starts[i], at = at, at+n
		}
		for _, p := range from {
			d := p.address >> shift & (1<<digit - 1)
			to[starts[d]] = p
			starts[d]++
		}
		from, to = to, from
	}
	return from
}
