package sum

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of profile.proto that this package reads or writes itself.
const (
	profileSample  = 2
	profileStrings = 6

	sampleLocations = 1
	sampleValues    = 2
	sampleLabels    = 3

	labelKey    = 1
	labelString = 2
	labelNumber = 3
	labelUnit   = 4
)

// errMalformed is what errors wrap when a profile contradicts its format.
var errMalformed = errors.New("malformed profile")

// A message is a profile taken apart. Its parts lie in the bytes it was read from.
type message struct {
	samples [][]byte
	strings [][]byte
	rest    []byte // everything but the samples
}

// split takes a profile apart.
func (m *message) split(data []byte) error {
	m.samples, m.strings, m.rest = m.samples[:0], m.strings[:0], m.rest[:0]
	for len(data) > 0 {
		f, rest, err := next(data)
		if err != nil {
			return err
		}
		whole := data[:len(data)-len(rest)]
		data = rest
		if f.kind == protowire.BytesType {
			switch f.number {
			case profileSample:
				m.samples = append(m.samples, f.content)
				continue
			case profileStrings:
				m.strings = append(m.strings, f.content)
			}
		}
		m.rest = append(m.rest, whole...)
	}
	return nil
}

// A field is one of a message: a number, or content.
type field struct {
	number  uint64
	kind    protowire.Type
	value   uint64
	content []byte
}

// next reads a field and returns what follows. It takes what the profile package takes,
// which is more than protowire does: any field number, and varints with more than 64
// bits; but no groups.
func next(data []byte) (f field, rest []byte, err error) {
	tag, n := varint(data)
	if n == 0 {
		return f, nil, fmt.Errorf("a field's tag: %w", errMalformed)
	}
	f.number, f.kind = tag>>3, protowire.Type(tag&7)
	data = data[n:]
	size := uint64(0)
	switch f.kind {
	case protowire.VarintType:
		if f.value, n = varint(data); n == 0 {
			return f, nil, fmt.Errorf("a number: %w", errMalformed)
		}
		return f, data[n:], nil
	case protowire.BytesType:
		if size, n = varint(data); n == 0 {
			return f, nil, fmt.Errorf("a length: %w", errMalformed)
		}
		data = data[n:]
	case protowire.Fixed64Type:
		size = 8
	case protowire.Fixed32Type:
		size = 4
	default:
		return f, nil, fmt.Errorf("a field of wire type %d: %w", f.kind, errMalformed)
	}
	if size > uint64(len(data)) {
		return f, nil, fmt.Errorf("%d bytes of %d: %w", size, len(data), errMalformed)
	}
	f.content = data[:size]
	return f, data[size:], nil
}

// varint reads a varint of at most ten bytes and returns how many it has, 0 if it has
// no end.
func varint(data []byte) (v uint64, n int) {
	for i, c := range data[:min(len(data), 10)] {
		v |= uint64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}

// A sample is what one says, its numbers as the profile has them.
type sample struct {
	locations []uint64
	values    []int64
	labels    []label
}

// A label is a key with a string, or a number and its unit, each by its place in a
// table of strings.
type label struct {
	key, text, number, unit int64
}

// decode reads a sample.
func (s *sample) decode(data []byte) error {
	s.locations, s.values, s.labels = s.locations[:0], s.values[:0], s.labels[:0]
	for len(data) > 0 {
		f, rest, err := next(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.number {
		case sampleLocations:
			s.locations, err = numbers(s.locations, f)
		case sampleValues:
			s.values, err = numbers(s.values, f)
		case sampleLabels:
			if f.kind != protowire.BytesType {
				return fmt.Errorf("a label of wire type %d: %w", f.kind, errMalformed)
			}
			var l label
			l, err = decodeLabel(f.content)
			s.labels = append(s.labels, l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// numbers appends a repeated number, packed or not.
func numbers[T uint64 | int64](list []T, f field) ([]T, error) {
	switch f.kind {
	case protowire.VarintType:
		return append(list, T(f.value)), nil
	case protowire.BytesType:
		for packed := f.content; len(packed) > 0; {
			v, n := varint(packed)
			if n == 0 {
				return list, fmt.Errorf("a packed number: %w", errMalformed)
			}
			list = append(list, T(v))
			packed = packed[n:]
		}
		return list, nil
	}
	return list, fmt.Errorf("numbers of wire type %d: %w", f.kind, errMalformed)
}

func decodeLabel(data []byte) (label, error) {
	var l label
	for len(data) > 0 {
		f, rest, err := next(data)
		if err != nil {
			return l, err
		}
		data = rest
		var to *int64
		switch f.number {
		case labelKey:
			to = &l.key
		case labelString:
			to = &l.text
		case labelNumber:
			to = &l.number
		case labelUnit:
			to = &l.unit
		default:
			continue
		}
		if f.kind != protowire.VarintType {
			return l, fmt.Errorf("a label's field of wire type %d: %w", f.kind, errMalformed)
		}
		*to = int64(f.value)
	}
	return l, nil
}

// append adds the sample to a profile as one field of it. The scratch buffer is
// used on the way and returned for the next time.
func (s *sample) append(profile, scratch []byte) (result, used []byte) {
	body := scratch[:0]
	body = appendPacked(body, sampleLocations, s.locations)
	body = appendPacked(body, sampleValues, s.values)
	for _, l := range s.labels {
		size := 0
		fields := [...]int64{labelKey: l.key, labelString: l.text, labelNumber: l.number, labelUnit: l.unit}
		for _, v := range fields {
			if v != 0 {
				size += 1 + protowire.SizeVarint(uint64(v))
			}
		}
		body = protowire.AppendVarint(protowire.AppendTag(body, sampleLabels, protowire.BytesType), uint64(size))
		for number, v := range fields {
			if v != 0 {
				body = protowire.AppendVarint(protowire.AppendTag(body, protowire.Number(number), protowire.VarintType), uint64(v))
			}
		}
	}
	profile = protowire.AppendTag(profile, profileSample, protowire.BytesType)
	return protowire.AppendBytes(profile, body), body
}

func appendPacked[T uint64 | int64](data []byte, number protowire.Number, values []T) []byte {
	if len(values) == 0 {
		return data
	}
	size := 0
	for _, v := range values {
		size += protowire.SizeVarint(uint64(v))
	}
	data = protowire.AppendVarint(protowire.AppendTag(data, number, protowire.BytesType), uint64(size))
	for _, v := range values {
		data = protowire.AppendVarint(data, uint64(v))
	}
	return data
}
