package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/cmd/narrows/internal/elffiles"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
	"github.com/narrows-profiler/narrows/symbolizer"
)

type symbolizeCommand struct {
	Input    string   `arg:"" help:"A pprof file."`
	Binaries []string `sep:"none" placeholder:"DIR" help:"Look for binaries and debug files in this folder first; may be repeated."`
	Output   string   `short:"o" placeholder:"FILE" help:"pprof file to write. Default: the input's name with .named.pb.gz."`
	Force    bool     `short:"f" help:"Replace the output if it exists."`
	JSON     bool     `name:"json" help:"Print JSON."`
	cacheFlags
}

func (symbolizeCommand) Help() string {
	return `Gives a profile, also one from another host, the names of functions, files and lines that its
binaries and their debug files know. A file counts as the profiled one if it has the same build ID.
It is looked for in the folders given, where each may be a copy of the other host's root, a store by
build ID, or any folder with binaries; then on this host, at the same path. What has names already
keeps them.

Examples:
  narrows symbolize cpu.pb.gz                                this host's own binaries
  narrows symbolize cpu.pb.gz --binaries sysroot             a copy of the other host's files
  narrows symbolize cpu.pb.gz --binaries build -o named.pb.gz
  narrows symbolize cpu.pb.gz --json | jq '.binaries[] | select(.unnamed != {})'`
}

// named is what symbolize says of its work, as --json prints it.
type named struct {
	Output   string        `json:"output"`
	Binaries []namedBinary `json:"binaries"`
}

// namedBinary counts the places in code of one binary, distinct addresses.
type namedBinary struct {
	File      string         `json:"file"`
	BuildID   string         `json:"build_id"`
	TakenFrom string         `json:"taken_from"` // the file that gave the names
	Locations int            `json:"locations"`
	Named     int            `json:"named"`
	Kept      int            `json:"kept"` // had names before
	Unnamed   map[string]int `json:"unnamed"`
	Detail    string         `json:"detail"`
}

func (c *symbolizeCommand) Run(ctx context.Context, s streams) error {
	output, err := c.output()
	if err != nil {
		return err
	}
	p, err := c.read()
	if err != nil {
		return err
	}
	finder, err := elffiles.New(c.Binaries, p)
	if err != nil {
		return advisedError{err, "name a folder that exists with --binaries"}
	}
	defer finder.Close()
	folder, err := c.cacheFlags.open()
	if err != nil {
		fmt.Fprintf(s.err, "narrows: nothing is kept for the next time: %v\n", err)
	} else if folder != nil {
		defer folder.Close()
	}
	names := symbolizer.New(symbolizer.Config{
		Binaries: finder, DebugFiles: finder, Supplements: finder, Indexes: folder, MaxIndexed: maxIndexed,
		Workers: runtime.GOMAXPROCS(0),
	})
	statistics, err := names.Symbolize(ctx, p)
	if err = errors.Join(err, names.Close()); err != nil {
		return err
	}
	if err := recording.WriteWhole(output, func(w io.Writer) error { return p.Write(w) }); err != nil {
		return err
	}
	result := named{Output: output, Binaries: []namedBinary{}}
	for _, b := range statistics.Binaries {
		n := namedBinary{
			File: b.File, BuildID: b.BuildID, TakenFrom: finder.Taken(b.BuildID), Locations: b.Locations, Named: b.Named, Kept: b.Kept,
			Unnamed: map[string]int{}, Detail: b.Detail,
		}
		for reason, count := range b.Unnamed {
			n.Unnamed[string(reason)] += count
		}
		result.Binaries = append(result.Binaries, n)
	}
	if c.JSON {
		return printJSON(s.out, result)
	}
	return result.print(s.out)
}

// maxIndexed is more than a recording allows: here nobody waits for the memory.
const maxIndexed = 4_000_000

// output is the file to write, which must not exist unless it may be replaced.
func (c *symbolizeCommand) output() (string, error) {
	output := c.Output
	if output == "" {
		output = strings.TrimSuffix(strings.TrimSuffix(c.Input, ".gz"), ".pb") + ".named.pb.gz"
	}
	switch _, err := os.Lstat(output); {
	case err == nil && !c.Force:
		return "", advisedError{fmt.Errorf("writing %s: it exists", output), "name another file with -o, or replace it with --force"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("writing %s: %w", output, err)
	}
	return output, recording.CheckWritable(output)
}

func (c *symbolizeCommand) read() (*profile.Profile, error) {
	info, err := os.Stat(c.Input)
	if err != nil {
		return nil, advisedError{fmt.Errorf("reading a profile: %w", err), "name a pprof file"}
	}
	if info.IsDir() {
		return nil, advisedError{fmt.Errorf("reading a profile: %s is a folder", c.Input), "name one of its pprof files, such as cpu.pb.gz of a session"}
	}
	return parseFile(c.Input)
}

// print writes a table of the binaries, those with most unnamed places first.
func (n named) print(w io.Writer) error {
	locations, unnamed := 0, 0
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAMED\tOF\tBINARY\tWHY NOT ALL")
	slices.SortStableFunc(n.Binaries, func(a, b namedBinary) int { return b.missing() - a.missing() })
	for _, b := range n.Binaries {
		locations += b.Locations
		unnamed += b.missing()
		file := b.File
		if file == "" {
			file = "(no binary)"
		}
		fmt.Fprintf(table, "%d\t%d\t%s\t%s\n", b.Locations-b.missing(), b.Locations, file, b.why())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nnamed       %d of %d places in code\nwritten to  %s\nnext        go tool pprof -top %[3]s\n", locations-unnamed, locations, n.Output)
	return err
}

// missing is how many places have no name.
func (b namedBinary) missing() int { return b.Locations - b.Named - b.Kept }

// why says why places have no name.
func (b namedBinary) why() string {
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(b.Unnamed)) {
		reasons = append(reasons, fmt.Sprintf("%d: %s", b.Unnamed[reason], reason))
	}
	text := strings.Join(reasons, ", ")
	if b.Detail != "" {
		text += " (" + strings.ReplaceAll(b.Detail, "\n", "; ") + ")"
	}
	return text
}
