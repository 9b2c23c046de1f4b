package session

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/sum"
)

// windowProfiles reads the uncompressed profiles of the given windows one after the
// other, as often as it is asked to.
func (f *folder) windowProfiles(ctx context.Context, name string, windows []int) sum.Profiles {
	return func(yield func([]byte, error) bool) {
		var data bytes.Buffer
		for _, index := range windows {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			err := f.unpack(&data, windowFile(index, name))
			if !yield(data.Bytes(), err) || err != nil {
				return
			}
		}
	}
}

// unpack reads a compressed profile into a buffer.
func (f *folder) unpack(data *bytes.Buffer, name string) error {
	file, err := f.open(name)
	if err != nil {
		return fmt.Errorf("reading the profile %s: %w", name, err)
	}
	defer file.Close()
	if err := unpack(data, file, maxProfileBytes); err != nil {
		return fmt.Errorf("reading the profile %s: %w", name, err)
	}
	return nil
}

// unpack replaces the buffer's content by what a gzip stream of at most limit bytes
// unpacks to.
func unpack(data *bytes.Buffer, r io.Reader, limit int64) error {
	data.Reset()
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	n, err := io.Copy(data, io.LimitReader(unzipped, limit+1))
	if err != nil {
		return err
	}
	if n > limit {
		return fmt.Errorf("it is longer than %d bytes uncompressed", limit)
	}
	return nil
}

// mergeInto adds the windows of a profile up and writes the sum to w, compressed.
// Without windows there is no sum, and nothing is written.
func (f *folder) mergeInto(ctx context.Context, w io.Writer, name string, windows []int) (*sum.Sum, error) {
	profiles := f.windowProfiles(ctx, name, windows)
	merged, err := sum.Of(profiles)
	if err != nil || merged.Profiles() == 0 {
		return merged, err
	}
	packed := gzip.NewWriter(w)
	if err := merged.Write(packed, profiles); err != nil {
		return nil, err
	}
	return merged, packed.Close()
}

// mergeInMemory adds the windows of a profile up, nil if there are none. What comes
// out may be much larger than the file would be.
func (f *folder) mergeInMemory(ctx context.Context, name string, windows []int) (*profile.Profile, error) {
	profiles := f.windowProfiles(ctx, name, windows)
	merged, err := sum.Of(profiles)
	if err != nil || merged.Profiles() == 0 {
		return nil, err
	}
	var data bytes.Buffer
	if err := merged.Write(&data, profiles); err != nil {
		return nil, err
	}
	return profile.ParseUncompressed(data.Bytes())
}

// describe sums a profile up for session.json.
func describe(name string, merged *sum.Sum) Profile {
	types, totals := merged.Header().SampleType, merged.Totals()
	d := Profile{File: name, Windows: merged.Profiles(), Entries: merged.Entries(), SampleTypes: make([]SampleType, len(types))}
	for i, t := range types {
		d.SampleTypes[i] = SampleType{Type: t.Type, Unit: t.Unit, Total: totals[i]}
	}
	return d
}
