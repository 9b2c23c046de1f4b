package sum

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// tables gathers the locations, functions and mappings that samples use, each
// once, by the same rules as profile.Merge, and the strings of their labels.
type tables struct {
	merged    *profile.Profile // without samples
	locations map[string]uint32
	functions map[profile.Function]*profile.Function
	mappings  map[mappingKey]*profile.Mapping
	strings   map[string]int64
	texts     []string // by number
	key       []byte
}

// mappingKey tells mappings apart as profile.Merge does: where a binary was loaded
// does not matter, nor up to a page how large the mapping is.
type mappingKey struct {
	size, offset uint64
	identity     string // build ID, else file
}

// newTables returns empty tables for a sum with the header of a profile.
func newTables(p *profile.Profile) *tables {
	return &tables{
		merged: &profile.Profile{
			SampleType: slices.Clone(p.SampleType), DefaultSampleType: p.DefaultSampleType,
			PeriodType: p.PeriodType, Period: p.Period, TimeNanos: p.TimeNanos, DurationNanos: p.DurationNanos,
			DropFrames: p.DropFrames, KeepFrames: p.KeepFrames, DocURL: p.DocURL,
		},
		locations: map[string]uint32{}, functions: map[profile.Function]*profile.Function{},
		mappings: map[mappingKey]*profile.Mapping{}, strings: map[string]int64{},
	}
}

// header adds what a profile says beside its samples. Time and duration become
// those that span all profiles.
func (t *tables) header(p *profile.Profile) error {
	m := t.merged
	if !sameType(m.PeriodType, p.PeriodType) || !slices.EqualFunc(m.SampleType, p.SampleType, sameType) {
		return fmt.Errorf("it has the sample types %s, the first has %s", types(p), types(m))
	}
	start := min(m.TimeNanos, p.TimeNanos)
	end := max(m.TimeNanos+m.DurationNanos, p.TimeNanos+p.DurationNanos)
	m.TimeNanos, m.DurationNanos = start, end-start
	m.Period = max(m.Period, p.Period)
	for _, c := range p.Comments {
		if !slices.Contains(m.Comments, c) {
			m.Comments = append(m.Comments, c)
		}
	}
	if m.DefaultSampleType == "" {
		m.DefaultSampleType = p.DefaultSampleType
	}
	if m.DocURL == "" {
		m.DocURL = p.DocURL
	}
	if len(m.Mapping) == 0 && len(p.Mapping) > 0 {
		t.mapping(p.Mapping[0]) // the first one stands for the main binary
	}
	return nil
}

func sameType(a, b *profile.ValueType) bool { return a.Type == b.Type && a.Unit == b.Unit }

// types names a profile's sample types and its period's.
func types(p *profile.Profile) string {
	var all []string
	for _, t := range append(slices.Clone(p.SampleType), p.PeriodType) {
		all = append(all, t.Type+"/"+t.Unit)
	}
	return strings.Join(all, ", ")
}

// location returns the number of a location among the merged ones.
func (t *tables) location(l *profile.Location) uint32 {
	mapping, offset := t.mapping(l.Mapping)
	merged := &profile.Location{
		Mapping: mapping, Address: l.Address + offset, IsFolded: l.IsFolded, Line: make([]profile.Line, len(l.Line)),
	}
	key := t.key[:0]
	relative, mappingID := merged.Address, uint64(0)
	if mapping != nil {
		relative, mappingID = relative-mapping.Start, mapping.ID
	}
	key = binary.LittleEndian.AppendUint64(key, relative)
	key = binary.AppendUvarint(key, mappingID)
	key = append(key, map[bool]byte{true: 1}[l.IsFolded])
	for i, line := range l.Line {
		merged.Line[i] = profile.Line{Function: t.function(line.Function), Line: line.Line, Column: line.Column}
		id := uint64(0)
		if f := merged.Line[i].Function; f != nil {
			id = f.ID
		}
		key = binary.AppendVarint(binary.AppendVarint(binary.AppendUvarint(key, id), line.Line), line.Column)
	}
	t.key = key
	if number, ok := t.locations[string(key)]; ok {
		return number
	}
	t.merged.Location = append(t.merged.Location, merged)
	number := uint32(len(t.merged.Location))
	merged.ID = uint64(number)
	t.locations[string(key)] = number
	return number
}

func (t *tables) function(f *profile.Function) *profile.Function {
	if f == nil {
		return nil
	}
	key := profile.Function{Name: f.Name, SystemName: f.SystemName, Filename: f.Filename, StartLine: f.StartLine}
	if known, ok := t.functions[key]; ok {
		return known
	}
	merged := key
	merged.ID = uint64(len(t.merged.Function) + 1)
	t.functions[key] = &merged
	t.merged.Function = append(t.merged.Function, &merged)
	return &merged
}

// mapping returns the merged mapping and what is added to addresses of this one.
func (t *tables) mapping(m *profile.Mapping) (*profile.Mapping, uint64) {
	if m == nil {
		return nil, 0
	}
	const page = 0x1000
	size := m.Limit - m.Start + page - 1
	key := mappingKey{size: size - size%page, offset: m.Offset, identity: m.BuildID}
	if key.identity == "" {
		key.identity = m.File
	}
	known, ok := t.mappings[key]
	if !ok {
		merged := *m
		merged.ID = uint64(len(t.merged.Mapping) + 1)
		known = &merged
		t.mappings[key] = known
		t.merged.Mapping = append(t.merged.Mapping, known)
	}
	// They say that some location has a name: one from any profile is enough.
	known.HasFunctions = known.HasFunctions || m.HasFunctions
	known.HasFilenames = known.HasFilenames || m.HasFilenames
	known.HasLineNumbers = known.HasLineNumbers || m.HasLineNumbers
	known.HasInlineFrames = known.HasInlineFrames || m.HasInlineFrames
	return known, known.Start - m.Start
}

// text numbers a string of a label, from 1.
func (t *tables) text(s []byte) int64 {
	if number, ok := t.strings[string(s)]; ok {
		return number
	}
	text := string(s)
	t.texts = append(t.texts, text)
	number := int64(len(t.texts))
	t.strings[text] = number
	return number
}

// locationLimit bounds the merged locations: their numbers have 32 bits.
const locationLimit = math.MaxUint32
