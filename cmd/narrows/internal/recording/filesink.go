package recording

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/sum"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/symbolizer/flamegraph"
)

// Kinds of files that a quick look can be written to.
const (
	svgSuffix   = ".svg"
	pprofSuffix = ".pb.gz"
)

// IsFile tells whether an output name asks for one file instead of a session.
func IsFile(name string) bool {
	return strings.HasSuffix(name, svgSuffix) || strings.HasSuffix(name, pprofSuffix)
}

// FileSink keeps windows for a recording that ends in one file. Until then they are
// in a file without a name in the same folder, which vanishes with this process.
type FileSink struct {
	name  string
	spool *os.File
	ends  []int64 // of the windows in the spool
}

// NewFileSink starts with no window. Close it.
func NewFileSink(name string) (*FileSink, error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // 0600
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, advise(err))
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("writing %s: %w", name, err), f.Close())
	}
	return &FileSink{name: name, spool: f}, nil
}

// Close gives the windows up.
func (s *FileSink) Close() error { return s.spool.Close() }

// Window adds one window.
func (s *FileSink) Window(_ context.Context, w collector.Window) error {
	if err := w.Profiles[collector.CPU].Write(s.spool); err != nil {
		return fmt.Errorf("keeping a window for %s: %w", s.name, advise(err))
	}
	end, err := s.spool.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("keeping a window for %s: %w", s.name, err)
	}
	s.ends = append(s.ends, end)
	return nil
}

// Write writes what was recorded as a pprof file or a flame graph, whole or not at
// all, readable by its owner only.
func (s *FileSink) Write(title string) error {
	if len(s.ends) == 0 {
		return fmt.Errorf("writing %s: nothing was recorded", s.name)
	}
	return WriteWhole(s.name, func(w io.Writer) error {
		if strings.HasSuffix(s.name, pprofSuffix) {
			return s.writeSum(w)
		}
		graph, err := flamegraph.OfAll(s.parsed(), flamegraph.Options{SampleType: "cpu", Title: title})
		if err != nil {
			return err
		}
		return graph.WriteSVG(w)
	})
}

func (s *FileSink) writeSum(w io.Writer) error {
	added, err := sum.Of(s.windows())
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(w)
	if err := added.Write(packed, s.windows()); err != nil {
		return err
	}
	return packed.Close()
}

// windows reads the windows back, uncompressed.
func (s *FileSink) windows() sum.Profiles {
	return func(yield func([]byte, error) bool) {
		var data bytes.Buffer
		start := int64(0)
		for _, end := range s.ends {
			data.Reset()
			unpacked, err := gzip.NewReader(io.NewSectionReader(s.spool, start, end-start))
			if err == nil {
				_, err = io.Copy(&data, unpacked)
			}
			if !yield(data.Bytes(), err) || err != nil {
				return
			}
			start = end
		}
	}
}

// parsed reads the windows back as profiles.
func (s *FileSink) parsed() iter.Seq2[*profile.Profile, error] {
	return func(yield func(*profile.Profile, error) bool) {
		for data, err := range s.windows() {
			var p *profile.Profile
			if err == nil {
				p, err = profile.ParseUncompressed(data)
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}
