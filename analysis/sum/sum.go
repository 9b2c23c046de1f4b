package sum

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/google/pprof/profile"
	"google.golang.org/protobuf/encoding/protowire"
)

// Profiles yields uncompressed profiles one after the other. The bytes are valid
// until the next one, and are not changed. It ends after an error.
type Profiles = iter.Seq2[[]byte, error]

// A Sum is what profiles add up to. It is used by one goroutine.
type Sum struct {
	tables  *tables // nil if there was no profile
	entries map[identity]uint32
	places  []place // by entry: where it was seen first
	values  []int64 // of all entries, as many for each as there are sample types
	count   int     // profiles
	seeds   [2]maphash.Seed

	reader reader
}

// identity is a hash of a stack and its labels, of two hashes with random seeds, so
// that nobody can make two stacks look the same.
type identity [2]uint64

// A place is a sample of one of the profiles.
type place struct{ profile, sample uint32 }

// Of adds profiles up.
func Of(profiles Profiles) (*Sum, error) {
	s := &Sum{entries: map[identity]uint32{}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	for data, err := range profiles {
		if err != nil {
			return nil, err
		}
		if err := s.add(data); err != nil {
			return nil, fmt.Errorf("adding up profile %d: %w", s.count+1, err)
		}
		s.count++
	}
	return s, nil
}

func (s *Sum) add(data []byte) error {
	return s.reader.read(s, data, func(number uint32, sample *sample) error {
		id := s.identity(sample)
		entry, ok := s.entries[id]
		if !ok {
			if len(s.places) == math.MaxUint32 {
				return errors.New("more than 2^32 distinct stacks")
			}
			entry = uint32(len(s.places))
			s.entries[id] = entry
			s.places = append(s.places, place{uint32(s.count), number})
			s.values = append(s.values, make([]int64, len(sample.values))...)
		}
		for i, v := range sample.values {
			s.values[int(entry)*len(sample.values)+i] += v
		}
		return nil
	})
}

// identity hashes what makes two samples one.
func (s *Sum) identity(sample *sample) identity {
	key := s.reader.key[:0]
	for _, l := range sample.locations {
		key = protowire.AppendVarint(key, l)
	}
	key = append(key, 0)
	for _, l := range sample.labels {
		for _, v := range [...]int64{l.key, l.text, l.number, l.unit} {
			key = protowire.AppendVarint(key, uint64(v))
		}
	}
	s.reader.key = key
	return identity{maphash.Bytes(s.seeds[0], key), maphash.Bytes(s.seeds[1], key)}
}

// Profiles is the number of profiles that were added up.
func (s *Sum) Profiles() int { return s.count }

// Header returns the sum without its samples: types, period, time, and the tables.
// The time and duration span all profiles. It is nil if there was no profile, and
// must not be changed.
func (s *Sum) Header() *profile.Profile {
	if s.tables == nil {
		return nil
	}
	return s.tables.merged
}

// Entries is the number of distinct pairs of stack and labels whose values do not
// add up to nothing.
func (s *Sum) Entries() int {
	n := 0
	for i := range s.places {
		if s.counts(i) {
			n++
		}
	}
	return n
}

// Totals is the sum of all values, by sample type.
func (s *Sum) Totals() []int64 {
	if s.tables == nil {
		return nil
	}
	totals := make([]int64, len(s.tables.merged.SampleType))
	for i, v := range s.values {
		totals[i%len(totals)] += v
	}
	return totals
}

// of returns the values of an entry.
func (s *Sum) of(entry int) []int64 {
	n := len(s.tables.merged.SampleType)
	return s.values[entry*n : (entry+1)*n]
}

// counts tells whether an entry has a value; profile.Merge drops those without.
func (s *Sum) counts(entry int) bool {
	return slices.ContainsFunc(s.of(entry), func(v int64) bool { return v != 0 })
}

// Write writes the sum as an uncompressed profile. The profiles must be the same
// as before, in the same order; what they are not is an error, after which the
// output is of no use.
func (s *Sum) Write(w io.Writer, profiles Profiles) error {
	if s.tables == nil {
		return errors.New("writing a sum: there was no profile")
	}
	out := &writer{w: w, sum: s}
	if err := out.header(profiles); err != nil {
		return fmt.Errorf("writing a sum: %w", err)
	}
	if err := s.first(profiles, out.sample); err != nil {
		return fmt.Errorf("writing a sum: %w", err)
	}
	if err := out.flush(); err != nil {
		return fmt.Errorf("writing a sum: %w", err)
	}
	return nil
}

// first calls each with the sample of every entry that counts, where it was seen
// first, in that order.
func (s *Sum) first(profiles Profiles, each func(entry int, sample *sample) error) error {
	next, count := 0, 0
	for data, err := range profiles {
		if err != nil {
			return err
		}
		err = s.reader.read(s, data, func(number uint32, sample *sample) error {
			if next == len(s.places) || s.places[next] != (place{uint32(count), number}) {
				return nil
			}
			entry := next
			next++
			if known, ok := s.entries[s.identity(sample)]; !ok || int(known) != entry {
				return errChanged
			}
			if !s.counts(entry) {
				return nil
			}
			return each(entry, sample)
		})
		if err != nil {
			return err
		}
		count++
	}
	if next != len(s.places) || count != s.count {
		return errChanged
	}
	return nil
}

// errChanged says that the second reading was not like the first.
var errChanged = errors.New("the profiles changed while they were added up")

// A reader takes profiles apart, one after the other, and keeps its memory.
type reader struct {
	message message
	sample  sample
	key     []byte

	byID   []uint32 // of the profile being read: merged number of the location in its place; 0 if not known yet
	places map[uint64]int
}

// read parses a profile, merges its tables, and calls each with its samples that
// have a value, in their order: locations and strings of labels by the numbers of
// the merged tables, labels in the order of their keys.
func (r *reader) read(s *Sum, data []byte, each func(number uint32, sample *sample) error) error {
	if err := r.message.split(data); err != nil {
		return err
	}
	p, err := profile.ParseUncompressed(r.message.rest)
	if err != nil {
		return err
	}
	if err := p.CheckValid(); err != nil {
		return err
	}
	if s.tables == nil {
		s.tables = newTables(p)
	}
	if err := s.tables.header(p); err != nil {
		return err
	}
	r.locate(p)
	for i, encoded := range r.message.samples {
		if err := r.sample.decode(encoded); err != nil {
			return err
		}
		if len(r.sample.values) != len(p.SampleType) {
			return fmt.Errorf("a sample has %d values of %d types: %w", len(r.sample.values), len(p.SampleType), errMalformed)
		}
		if !slices.ContainsFunc(r.sample.values, func(v int64) bool { return v != 0 }) {
			continue // and so its locations may be of no use
		}
		if err := r.translate(s.tables, p); err != nil {
			return err
		}
		if err := each(uint32(i), &r.sample); err != nil {
			return err
		}
	}
	return nil
}

// locate prepares for looking the profile's locations up by their ID.
func (r *reader) locate(p *profile.Profile) {
	r.byID = slices.Grow(r.byID[:0], len(p.Location))[:len(p.Location)]
	clear(r.byID)
	r.places = nil
	for i, l := range p.Location {
		if l.ID == uint64(i+1) {
			continue
		}
		if r.places == nil {
			r.places = make(map[uint64]int)
		}
		r.places[l.ID] = i
	}
}

// translate gives the sample the numbers of the merged tables.
func (r *reader) translate(t *tables, p *profile.Profile) error {
	for i, id := range r.sample.locations {
		at := int(id - 1)
		if id == 0 || id > uint64(len(p.Location)) || p.Location[at].ID != id {
			var ok bool
			if at, ok = r.places[id]; !ok {
				return fmt.Errorf("a sample in location %d, which does not exist: %w", id, errMalformed)
			}
		}
		if r.byID[at] == 0 {
			if len(t.merged.Location) >= locationLimit {
				return errors.New("more than 2^32 locations")
			}
			r.byID[at] = t.location(p.Location[at])
		}
		r.sample.locations[i] = uint64(r.byID[at])
	}
	labels := r.sample.labels[:0]
	for _, l := range r.sample.labels {
		if l.text == 0 && l.number == 0 && l.unit == 0 {
			continue // says nothing, and is dropped by the profile package too
		}
		if l.text != 0 {
			l.number, l.unit = 0, 0 // whatever they are
		}
		for _, number := range [...]*int64{&l.key, &l.text, &l.unit} {
			if *number < 0 || *number >= int64(len(r.message.strings)) {
				return fmt.Errorf("a label with string %d of %d: %w", *number, len(r.message.strings), errMalformed)
			}
		}
		if l.text != 0 {
			l.text = t.text(r.message.strings[l.text])
		}
		if l.unit != 0 {
			l.unit = t.text(r.message.strings[l.unit])
		}
		l.key = t.text(r.message.strings[l.key])
		labels = append(labels, l)
	}
	// Strings before numbers and each by key, as the profile package writes them.
	slices.SortStableFunc(labels, func(a, b label) int {
		if (a.text == 0) != (b.text == 0) {
			if a.text != 0 {
				return -1
			}
			return 1
		}
		return cmp.Compare(t.texts[a.key-1], t.texts[b.key-1])
	})
	r.sample.labels = labels
	return nil
}
