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
		number, kind, n := consumeTag(data)
		if n < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, kind, data[n:])
		if size < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
		}
		field := data[:n+size]
		data = data[n+size:]
		if kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(field[n:])
			switch number {
			case profileSample:
				m.samples = append(m.samples, content)
				continue
			case profileStrings:
				m.strings = append(m.strings, content)
			}
		}
		m.rest = append(m.rest, field...)
	}
	return nil
}

// consumeTag reads a field's number and wire type, or gives protowire's negative
// length of an error. Like the profile package, and unlike protowire, it takes any
// number: fields that nobody knows are left out.
func consumeTag(data []byte) (protowire.Number, protowire.Type, int) {
	v, n := protowire.ConsumeVarint(data)
	if n < 0 {
		return 0, 0, n
	}
	return protowire.Number(min(v>>3, 1<<29-1)), protowire.Type(v & 7), n
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
		number, kind, n := consumeTag(data)
		if n < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		data = data[n:]
		var err error
		switch number {
		case sampleLocations:
			data, err = numbers(data, kind, func(v uint64) { s.locations = append(s.locations, v) })
		case sampleValues:
			data, err = numbers(data, kind, func(v uint64) { s.values = append(s.values, int64(v)) })
		case sampleLabels:
			if kind != protowire.BytesType {
				return fmt.Errorf("a label of wire type %d: %w", kind, errMalformed)
			}
			content, size := protowire.ConsumeBytes(data)
			if size < 0 {
				return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
			}
			data = data[size:]
			var l label
			l, err = decodeLabel(content)
			s.labels = append(s.labels, l)
		default:
			size := protowire.ConsumeFieldValue(number, kind, data)
			if size < 0 {
				return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
			}
			data = data[size:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// numbers reads a repeated number, packed or not, and returns what follows.
func numbers(data []byte, kind protowire.Type, each func(uint64)) ([]byte, error) {
	switch kind {
	case protowire.VarintType:
		v, n := protowire.ConsumeVarint(data)
		if n < 0 {
			return nil, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		each(v)
		return data[n:], nil
	case protowire.BytesType:
		packed, size := protowire.ConsumeBytes(data)
		if size < 0 {
			return nil, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
		}
		for len(packed) > 0 {
			v, n := protowire.ConsumeVarint(packed)
			if n < 0 {
				return nil, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
			}
			each(v)
			packed = packed[n:]
		}
		return data[size:], nil
	}
	return nil, fmt.Errorf("numbers of wire type %d: %w", kind, errMalformed)
}

func decodeLabel(data []byte) (label, error) {
	var l label
	for len(data) > 0 {
		number, kind, n := consumeTag(data)
		if n < 0 {
			return l, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		data = data[n:]
		var field *int64
		switch number {
		case labelKey:
			field = &l.key
		case labelString:
			field = &l.text
		case labelNumber:
			field = &l.number
		case labelUnit:
			field = &l.unit
		default:
			size := protowire.ConsumeFieldValue(number, kind, data)
			if size < 0 {
				return l, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
			}
			data = data[size:]
			continue
		}
		if kind != protowire.VarintType {
			return l, fmt.Errorf("a label's field of wire type %d: %w", kind, errMalformed)
		}
		v, n := protowire.ConsumeVarint(data)
		if n < 0 {
			return l, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(n))
		}
		*field = int64(v)
		data = data[n:]
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
