package symbolizer

import (
	"bytes"
	"context"
	"errors"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
	"github.com/narrows-profiler/narrows/symbolizer/index"
)

// A firstPass names locations of a binary that has no index yet from what the binary
// itself knows, and makes the index of the same ranges on the way: of all code, or of the
// addresses that are asked for.
type firstPass struct {
	*lookup
	builder *index.Builder
	at      int // in places: those before it lie before the last range that was looked for
}

// firstPass names locations of a binary, all whose code is to be indexed or only some. It
// returns those that it did not name: they must be asked for one by one, because something
// could not be read. A binary of which that is so cannot have an index.
func (s *Symbolizer) firstPass(ctx context.Context, l *lookup, r binaryResolver, locations []*profile.Location, whole bool) ([]*profile.Location, error) {
	b, x := r.binary, &r.binary.indexed
	kept := len(b.scratches)
	table := b.open()
	if table.Empty() || len(table.Problems()) > 0 {
		x.source = "" // no index
		return locations, b.closeScratches(kept)
	}
	if whole && table.Symbols() > s.config.MaxIndexed {
		whole, x.large = false, true
	}
	x.partial = !whole
	p := firstPass{lookup: l, builder: &l.room.builder}
	p.builder.Reset(s.config.MaxIndexed, !whole)
	p.place(r, locations)
	err := p.name(ctx, table, whole)
	if whole {
		b.closeScratches(kept) // nothing is lost with them
	} else {
		b.table = table // for what will be asked for later
	}
	switch {
	case errors.Is(err, index.ErrTooLarge):
		x.partial, x.large = true, true
	case err != nil:
		x.source = ""
	default:
		x.keep(p.builder)
	}
	return p.rest(), ctx.Err()
}

// name goes through the ranges in which there are places, or all, and names the places.
func (p *firstPass) name(ctx context.Context, table *debuginfo.Table, whole bool) error {
	named := p.ranges
	if whole && table.Plain() {
		named = p.plainRanges
	}
	if err := named(ctx, table, whole); err != nil {
		return err
	}
	for i := range p.places {
		place := &p.places[i]
		if place.location == nil {
			continue
		}
		if !whole {
			if err := p.builder.Cover(place.address, place.address+1, index.NobodysNode); err != nil {
				return err
			}
		}
		p.namer.placeholder(place.location, place.address)
		p.stats.unnamed(NoSymbol, 1)
		place.location = nil
	}
	return nil
}

// ranges names the places that have functions.
func (p *firstPass) ranges(ctx context.Context, table *debuginfo.Table, whole bool) error {
	ranges := table.Ranges()
	if !whole {
		ranges = table.RangesOf(func(low, high uint64) bool {
			from, to := p.within(low, high)
			return from < to
		})
	}
	count := 0
	for r, err := range ranges {
		if count++; count%4096 == 0 && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		node, err := p.builder.Node(r)
		if err != nil {
			return err
		}
		if err := p.give(r.Low, r.High, node, whole); err != nil {
			return err
		}
	}
	return nil
}

// plainRanges is ranges where nothing is known but names.
func (p *firstPass) plainRanges(ctx context.Context, table *debuginfo.Table, whole bool) error {
	p.builder.Expect(table.Symbols(), table.Strings())
	count := 0
	for r, err := range table.PlainRanges() {
		if count++; count%4096 == 0 && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		node, err := p.builder.Named(r.Name, r.Source)
		if err != nil {
			return err
		}
		if err := p.give(r.Low, r.High, node, whole); err != nil {
			return err
		}
	}
	return nil
}

// give adds code of a node to the index and names the places in it.
func (p *firstPass) give(low, high uint64, node uint32, whole bool) error {
	if whole {
		if err := p.builder.Cover(low, high, node); err != nil {
			return err
		}
	}
	from, to := p.within(low, high)
	if from == to {
		return nil
	}
	p.stack = p.builder.Stack(node, p.stack[:0])
	if err := p.setLines(p.function); err != nil {
		return err
	}
	for i := from; i < to; i++ {
		place := &p.places[i]
		if place.location == nil {
			continue
		}
		if !whole {
			if err := p.builder.Cover(place.address, place.address+1, node); err != nil {
				return err
			}
		}
		p.share(place.location)
		place.location = nil
	}
	return nil
}

// function returns a function of the index to be as one of the profile.
func (p *firstPass) function(id uint32) (*profile.Function, error) {
	for int(id) >= len(p.functions) {
		p.functions = append(p.functions, nil)
	}
	if p.functions[id] != nil {
		return p.functions[id], nil
	}
	f, err := p.builder.Function(id)
	if err != nil {
		return nil, err
	}
	f.Name = forPeople(f.SystemName, f.Source)
	if err := p.builder.SetName(id, f.Name); err != nil {
		return nil, err
	}
	return p.add(id, f), nil
}

// within returns which places lie in the addresses from low up to high. Ranges mostly
// ascend, so it goes on from where it was.
func (p *firstPass) within(low, high uint64) (from, to int) {
	if p.at > 0 && p.places[p.at-1].address >= low {
		p.at = 0
	}
	p.at = p.firstFrom(p.at, low)
	return p.at, p.firstFrom(p.at, high)
}

// firstFrom returns the first place at or behind an address, no earlier than from.
func (p *firstPass) firstFrom(from int, address uint64) int {
	step := 1
	for from+step <= len(p.places) && p.places[from+step-1].address < address {
		from += step
		step *= 2
	}
	high := min(from+step-1, len(p.places))
	for from < high {
		if middle := int(uint(from+high) / 2); p.places[middle].address < address {
			from = middle + 1
		} else {
			high = middle
		}
	}
	return from
}

// rest returns the locations that were not named.
func (p *firstPass) rest() []*profile.Location {
	var rest []*profile.Location
	for _, place := range p.places {
		if place.location != nil {
			rest = append(rest, place.location)
		}
	}
	return rest
}

// keep puts an index that was made into the folder. It is opened when it is needed again.
// Where it cannot be written, it stays in memory.
func (x *indexed) keep(b *index.Builder) {
	image, err := b.Image(x.id, x.folder.Source(x.source))
	if err != nil {
		if x.partial {
			x.source = "" // no index
		}
		x.partial, x.large = true, true // what was asked for may still fit
		return
	}
	old := x.file
	x.file, x.names = nil, nil
	if x.put = x.folder.Put(x.id, image) == nil; !x.put {
		x.file, _ = index.Open(bytes.NewReader(bytes.Clone(image)), int64(len(image)))
		x.names = map[uint32]string{}
	}
	if old != nil {
		old.Close()
	}
}
