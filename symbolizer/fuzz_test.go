package symbolizer_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
	"github.com/narrows-profiler/narrows/symbolizer/kallsyms"
)

// oneFile is a Binaries that gives the same bytes for every mapping.
type oneFile []byte

func (o oneFile) Binary(*profile.Mapping) (io.ReaderAt, int64, error) {
	return bytes.NewReader(o), int64(len(o)), nil
}

// FuzzSymbolize names arbitrary profiles with a real binary: a profile that was
// valid stays so, every location gets lines, and those that had some keep them.
func FuzzSymbolize(f *testing.F) {
	path := compileC(f, "-nostdlib", "-shared", "-fPIC")
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	at := addresses(f, path)
	m := mapping(f, path, at["main"])
	seed := newProfile(place{m, at["main"]}, place{m, at["inner_label"] + 2}, place{nil, 5},
		place{&profile.Mapping{File: "[kernel.kallsyms]", Limit: 1}, 0xffffffff81000014})
	var written bytes.Buffer
	if err := seed.WriteUncompressed(&written); err != nil {
		f.Fatal(err)
	}
	f.Add(written.Bytes())
	seed.Mapping[0].BuildID = ""
	seed.Location[0].Line = []profile.Line{{Line: 3}}
	written.Reset()
	if err := seed.WriteUncompressed(&written); err != nil {
		f.Fatal(err)
	}
	f.Add(written.Bytes())
	kernel, err := kallsyms.Parse(strings.NewReader(kernelText))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		p, err := profile.ParseData(encoded)
		if err != nil {
			return
		}
		before := make(map[*profile.Location]int)
		for _, l := range p.Location {
			before[l] = len(l.Line)
		}
		s := symbolizer.New(symbolizer.Config{Binaries: oneFile(data), Kernel: kernel})
		for range 2 {
			if _, err := s.Symbolize(context.Background(), p); err != nil {
				t.Fatal(err)
			}
			if err := p.CheckValid(); err != nil {
				t.Fatal(err)
			}
		}
		for l, lines := range before {
			if len(l.Line) == 0 || lines > 1 && len(l.Line) != lines {
				t.Errorf("location %d had %d lines and has %d", l.ID, lines, len(l.Line))
			}
		}
	})
}
