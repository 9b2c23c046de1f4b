package rank

import (
	"cmp"
	"fmt"
	"iter"
	"path"
	"regexp"
	"strings"

	"github.com/google/pprof/profile"
)

// frame is what makes two frames the same place: a function of a binary.
type frame struct {
	function string
	binary   string
}

// position is a line of source code.
type position struct {
	file string
	line int64
}

// frames yields a sample's frames from the innermost outwards, inlined
// functions included. In a pprof location the first line is the innermost
// (profile.proto, message Location).
func frames(s *profile.Sample) iter.Seq2[frame, position] {
	return func(yield func(frame, position) bool) {
		for _, l := range s.Location {
			binary := ""
			if l.Mapping != nil {
				binary = l.Mapping.File
			}
			if len(l.Line) == 0 && !yield(frame{unnamed(binary), binary}, position{}) {
				return
			}
			for _, line := range l.Line {
				f := frame{line.Function.Name, binary}
				if f.function == "" || address.MatchString(f.function) {
					f.function = unnamed(binary)
				}
				if !yield(f, position{line.Function.Filename, line.Line}) {
					return
				}
			}
		}
	}
}

// address is what an address without a function's name is called:
// "[libc.so.6+0x28a10]".
var address = regexp.MustCompile(`^\[.+\+0x[0-9a-f]+\]$`)

// unnamed is the one place that stands for all code of a binary that has no
// function's name: single addresses are no functions, and one by one they would
// vanish among the small places.
func unnamed(binary string) string {
	if binary == "" {
		return "[unnamed code]"
	}
	return unnamedIn + path.Base(binary) + "]"
}

const unnamedIn = "[unnamed code in "

// lostReason returns the reason of a sample that stands for lost weight.
func lostReason(s *profile.Sample) (string, bool) {
	if len(s.Location) != 1 || len(s.Location[0].Line) != 1 {
		return "", false
	}
	reason, ok := strings.CutPrefix(s.Location[0].Line[0].Function.Name, "[lost: ")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(reason, "]")
}

// label returns the first value of a sample's string label.
func label(s *profile.Sample, key string) string {
	if values := s.Label[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// cpuTypes returns the positions of the sample types samples/count and
// cpu/nanoseconds.
func cpuTypes(p *profile.Profile) (samples, nanoseconds int, err error) {
	samples, nanoseconds = -1, -1
	for i, t := range p.SampleType {
		switch {
		case t.Type == "samples" && t.Unit == "count":
			samples = i
		case t.Type == "cpu" && t.Unit == "nanoseconds":
			nanoseconds = i
		}
	}
	if samples < 0 || nanoseconds < 0 {
		var have []string
		for _, t := range p.SampleType {
			have = append(have, t.Type+"/"+t.Unit)
		}
		return 0, 0, fmt.Errorf("a CPU profile has the sample types samples/count and cpu/nanoseconds, this one has %s", strings.Join(have, ", "))
	}
	return samples, nanoseconds, nil
}

func compareFrames(a, b frame) int {
	return cmp.Or(strings.Compare(a.function, b.function), strings.Compare(a.binary, b.binary))
}
