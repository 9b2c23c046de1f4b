package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
	"github.com/narrows-profiler/narrows/symbolizer/flamegraph"
)

type flameCommand struct {
	Input       string   `arg:"" help:"A pprof file, or a session folder (its CPU profile)."`
	Output      string   `short:"o" placeholder:"FILE" help:"SVG file to write. Default: the input's name with .svg."`
	SampleIndex string   `placeholder:"NAME" help:"Sample type to draw, as go tool pprof's -sample_index."`
	Label       []string `short:"l" placeholder:"KEY=VALUE" help:"Draw only samples with this label; all of them must match."`
	Title       string   `help:"Title of the graph."`
}

func (flameCommand) Help() string {
	return `Examples:
  narrows flame narrows-20260102T150405Z                 the session's CPU time
  narrows flame -l service=ryot -l phase=decode SESSION  one service in one phase
  narrows flame heap.pb.gz --sample-index inuse_space    any pprof file`
}

func (c *flameCommand) Run(s streams) error {
	parts, err := c.read()
	if err != nil {
		return err
	}
	index, err := c.sampleIndex(parts)
	if err != nil {
		return err
	}
	focus, err := labelFocus(c.Label)
	if err != nil {
		return err
	}
	title := c.Title
	if title == "" {
		title = strings.Join(append([]string{filepath.Base(filepath.Clean(c.Input))}, c.Label...), "  ")
	}
	graph, err := flamegraph.OfAll(parts, flamegraph.Options{SampleType: index, Title: title, Focus: focus})
	if errors.Is(err, flamegraph.ErrEmpty) && len(c.Label) > 0 {
		return advisedError{fmt.Errorf("drawing %s: %w", c.Input, err), "look at the labels that there are with go tool pprof -tags"}
	}
	if err != nil {
		return fmt.Errorf("drawing %s: %w", c.Input, err)
	}
	output := c.Output
	if output == "" {
		output = strings.TrimSuffix(strings.TrimSuffix(filepath.Clean(c.Input), ".gz"), ".pb") + ".svg"
	}
	if err := recording.WriteWhole(output, func(w io.Writer) error { return graph.WriteSVG(w) }); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "written to  %s\n", output)
	return nil
}

// read returns the profile to draw, of a session in parts.
func (c *flameCommand) read() (iter.Seq2[*profile.Profile, error], error) {
	info, err := os.Stat(c.Input)
	if err != nil {
		return nil, advisedError{fmt.Errorf("reading a profile: %w", err), "name a pprof file or a session folder"}
	}
	if info.IsDir() {
		sess, err := session.Open(c.Input)
		if err != nil {
			return nil, err
		}
		return sess.Parts(session.CPU), nil
	}
	p, err := parseFile(c.Input)
	if err != nil {
		return nil, err
	}
	return func(yield func(*profile.Profile, error) bool) { yield(p, nil) }, nil
}

// parseFile reads a pprof file.
func parseFile(name string) (*profile.Profile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading a profile: %w", err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, advisedError{fmt.Errorf("reading %s as a pprof file: %w", name, err), "name a pprof file or a session folder"}
	}
	return p, nil
}

// sampleIndex prefers time to counts, as go tool pprof does by taking the last.
func (c *flameCommand) sampleIndex(parts iter.Seq2[*profile.Profile, error]) (string, error) {
	for p, err := range parts {
		if err != nil {
			return "", err
		}
		if c.SampleIndex == "" && p.DefaultSampleType == "" && len(p.SampleType) > 0 {
			return p.SampleType[len(p.SampleType)-1].Type, nil
		}
		break
	}
	return c.SampleIndex, nil
}

// labelFocus selects the samples that have all the given labels.
func labelFocus(labels []string) (func(*profile.Sample) bool, error) {
	if len(labels) == 0 {
		return nil, nil
	}
	want := map[string]string{}
	for _, l := range labels {
		key, value, ok := strings.Cut(l, "=")
		if !ok {
			return nil, advisedError{fmt.Errorf("%q is no label", l), "write it as KEY=VALUE, such as service=ryot"}
		}
		want[key] = value
	}
	return func(s *profile.Sample) bool {
		for key, value := range want {
			if !s.HasLabel(key, value) && !hasNumber(s, key, value) {
				return false
			}
		}
		return true
	}, nil
}

func hasNumber(s *profile.Sample, key, value string) bool {
	for _, n := range s.NumLabel[key] {
		if fmt.Sprint(n) == value {
			return true
		}
	}
	return false
}
