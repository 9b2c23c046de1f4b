package sum

import (
	"bytes"
	"io"

	"github.com/google/pprof/profile"
	"google.golang.org/protobuf/encoding/protowire"
)

// chunk is how many bytes are gathered for one write.
const chunk = 64 << 10

// A writer writes a sum: the tables first, so that readers know them when they
// come to the samples.
type writer struct {
	w    io.Writer
	sum  *Sum
	base int64    // of the labels' strings in the table of strings, less 1
	now  []uint64 // by number of a location: its ID in the output; nil if the same

	buffer, scratch []byte
	out             sample
}

// header writes everything but the samples.
func (w *writer) header(profiles Profiles) error {
	p := w.sum.tables.merged
	if w.sum.Entries() < len(w.sum.places) {
		var err error
		if p, err = w.compact(profiles); err != nil {
			return err
		}
	}
	var encoded bytes.Buffer
	if err := p.WriteUncompressed(&encoded); err != nil {
		return err
	}
	var m message
	if err := m.split(encoded.Bytes()); err != nil {
		return err
	}
	w.base = int64(len(m.strings)) - 1
	if _, err := w.w.Write(encoded.Bytes()); err != nil {
		return err
	}
	for _, text := range w.sum.tables.texts {
		w.buffer = protowire.AppendString(protowire.AppendTag(w.buffer, profileStrings, protowire.BytesType), text)
	}
	return w.flush()
}

// compact returns the tables without what only samples use that add up to nothing.
func (w *writer) compact(profiles Profiles) (*profile.Profile, error) {
	all := w.sum.tables.merged
	used := make([]bool, len(all.Location))
	err := w.sum.first(profiles, func(_ int, s *sample) error {
		for _, l := range s.locations {
			used[l-1] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	kept := newTables(all)
	kept.merged.Comments = all.Comments
	if len(all.Mapping) > 0 {
		kept.mapping(all.Mapping[0])
	}
	w.now = make([]uint64, len(all.Location))
	for i, l := range all.Location {
		if used[i] {
			w.now[i] = uint64(kept.location(l))
		}
	}
	return kept.merged, nil
}

// sample writes an entry.
func (w *writer) sample(entry int, s *sample) error {
	w.out.locations = append(w.out.locations[:0], s.locations...)
	if w.now != nil {
		for i, l := range w.out.locations {
			w.out.locations[i] = w.now[l-1]
		}
	}
	w.out.values = append(w.out.values[:0], w.sum.of(entry)...)
	w.out.labels = append(w.out.labels[:0], s.labels...)
	for i := range w.out.labels {
		l := &w.out.labels[i]
		for _, number := range [...]*int64{&l.key, &l.text, &l.unit} {
			if *number != 0 {
				*number += w.base
			}
		}
	}
	w.buffer, w.scratch = w.out.append(w.buffer, w.scratch)
	if len(w.buffer) >= chunk {
		return w.flush()
	}
	return nil
}

func (w *writer) flush() error {
	_, err := w.w.Write(w.buffer)
	w.buffer = w.buffer[:0]
	return err
}
