// Package flamegraph draws a pprof profile as one SVG file that can be searched,
// zoomed and shared without anything beside it: no server, no font, no library.
//
// A *profile.Profile enters through [New], which merges the stacks of the chosen
// sample type into a tree; [Graph.WriteSVG] writes the picture. The steps in
// between are one file each: stack (samples to frames), tree (frames to exact
// sums), layout (which frames are drawn, and where) and svg (the text).
//
// The graph hangs from its root: roots at the top, leaves below, as in the web
// page of go tool pprof. A stack of a thousand frames is taller than any window,
// and with the root at the top the page opens on what every stack shares, beside
// the title and the search box, instead of on the tip of the deepest one.
// Siblings are ordered by name and not by weight, so that the same code keeps its
// place from one profile to the next.
package flamegraph

import (
	"errors"
	"fmt"
	"iter"

	"github.com/google/pprof/profile"
)

// The conditions under which a profile has no flame graph.
var (
	// ErrEmpty says that no selected sample has a value above zero.
	ErrEmpty = errors.New("no samples to draw")
	// ErrNegative says that a sample has a negative value, as the difference of
	// two profiles has: a width cannot be negative.
	ErrNegative = errors.New("negative value")
	// ErrOverflow says that the values' sum does not fit into an int64.
	ErrOverflow = errors.New("the sum of the values exceeds 64 bits")
)

const (
	defaultMinWidth  = 0.001
	defaultMaxFrames = 20_000
	// maxDepth bounds the height of the file: twice what the kernel and the
	// unwinders record, and about as tall as browsers still paint well.
	maxDepth = 2048
)

// Options chooses what is drawn. The zero value draws the profile's default
// sample type, whole.
type Options struct {
	// SampleType is a name or an index of p.SampleType, as -sample_index of go
	// tool pprof takes it; empty is the profile's default.
	SampleType string
	// Title heads the graph; empty is "Flame graph".
	Title string
	// Subtitle is a line under the totals for where the profile came from.
	Subtitle string
	// Focus selects the samples that count, for example those of one service;
	// nil selects all. The graph's whole is the sum of the selected samples.
	Focus func(*profile.Sample) bool
	// MinWidth is the fraction of the whole, in [0, 1), below which a frame is
	// not drawn on its own; its weight stays in its parent. 0 is 0.001.
	MinWidth float64
	// MaxFrames bounds the frames drawn and by that the size of the file: the
	// widest are kept. 0 is 20,000.
	MaxFrames int
}

// Graph is a profile merged into a tree, ready to be written.
type Graph struct {
	title, subtitle string
	measure         measure
	tree            tree
	minWidth        float64
	maxFrames       int
}

// New merges the selected samples of p, which it does not change. It fails with
// [ErrEmpty], [ErrNegative] or [ErrOverflow] where there is nothing to draw, and
// with the reason where p is not a valid profile or has no such sample type.
func New(p *profile.Profile, o Options) (*Graph, error) {
	return OfAll(func(yield func(*profile.Profile, error) bool) { yield(p, nil) }, o)
}

// OfAll merges the selected samples of several profiles that have the same sample
// types, such as a recording's windows. They are asked for twice if they are large,
// and must be the same the second time; none is kept. It fails as New does, with
// ErrEmpty if there is none.
func OfAll(profiles iter.Seq2[*profile.Profile, error], o Options) (*Graph, error) {
	if o.MinWidth == 0 {
		o.MinWidth = defaultMinWidth
	}
	if !(o.MinWidth > 0 && o.MinWidth < 1) {
		return nil, fmt.Errorf("minimum width %v is not a fraction of the whole between 0 and 1", o.MinWidth)
	}
	if o.MaxFrames < 0 {
		return nil, fmt.Errorf("maximum number of frames %d is negative", o.MaxFrames)
	}
	if o.MaxFrames == 0 {
		o.MaxFrames = defaultMaxFrames
	}
	if o.Title == "" {
		o.Title = "Flame graph"
	}
	m, err := firstMeasure(profiles, o.SampleType)
	if err != nil {
		return nil, err
	}
	t, err := mergeAll(profiles, &gatherer{measure: m, focus: o.Focus, in: newInterner()}, o.MinWidth, maxCalls)
	if err != nil {
		return nil, err
	}
	return &Graph{
		title:     printable(o.Title),
		subtitle:  printable(o.Subtitle),
		measure:   m,
		tree:      t,
		minWidth:  o.MinWidth,
		maxFrames: o.MaxFrames,
	}, nil
}

// firstMeasure chooses what is drawn by the first profile, and checks all.
func firstMeasure(profiles iter.Seq2[*profile.Profile, error], sampleType string) (measure, error) {
	for p, err := range profiles {
		if err != nil {
			return measure{}, err
		}
		return chooseMeasure(p, sampleType)
	}
	return measure{}, fmt.Errorf("%w: there is no profile", ErrEmpty)
}
