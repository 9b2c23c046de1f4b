package costs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// lookupPeers has other tools name the same addresses.
func (b *bench) lookupPeers(ctx context.Context) error {
	all, err := corpora(ctx, b.table)
	if err != nil {
		return err
	}
	for _, c := range all {
		ours, err := b.lookup(ctx, c)
		if err != nil {
			return err
		}
		for _, peer := range []func(context.Context, corpus) (string, Estimate, error){b.llvmSymbolizer, b.llvmFromDisk, b.addr2line, b.perfScript} {
			name, theirs, err := peer(ctx, c)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				b.table.skip(c.what()+": "+name, err)
				continue
			}
			b.table.add(c.what()+": "+name, "addresses/s", theirs)
			for _, mode := range []struct {
				name string
				ours Estimate
			}{{"the first time", ours.first}, {"page cache emptied", ours.fromDisk}, {"warm", ours.warm}, {"open indexes alone", ours.index}} {
				b.table.add(fmt.Sprintf("the same by narrows, %s, against %s", mode.name, name), "times as fast",
					Estimate{Median: mode.ours.Median / theirs.Median, N: theirs.N})
			}
		}
	}
	return nil
}

// lookTool finds a program under one of its names.
func lookTool(names ...string) (string, error) {
	var failures []error
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
}

// llvmSymbolizer times llvm-symbolizer with all files in the page cache.
func (b *bench) llvmSymbolizer(ctx context.Context, c corpus) (string, Estimate, error) {
	return llvmSymbolizer(ctx, c, func() error { return nil })
}

// llvmFromDisk times llvm-symbolizer with none there.
func (b *bench) llvmFromDisk(ctx context.Context, c corpus) (string, Estimate, error) {
	name, theirs, err := llvmSymbolizer(ctx, c, dropCaches)
	return name + ", page cache emptied", theirs, err
}

// llvmSymbolizer times llvm-symbolizer, with its defaults: names demangled, inlined
// functions, lines.
func llvmSymbolizer(ctx context.Context, c corpus, prepare func() error) (string, Estimate, error) {
	path, err := lookTool("llvm-symbolizer", "llvm-symbolizer-22", "llvm-symbolizer-21", "llvm-symbolizer-20", "llvm-symbolizer-19", "llvm-symbolizer-18", "llvm-symbolizer-17", "llvm-symbolizer-16", "llvm-symbolizer-15", "llvm-symbolizer-14")
	if err != nil {
		return "llvm-symbolizer", Estimate{}, err
	}
	name := filepath.Base(path)
	var input bytes.Buffer
	for _, one := range c.binaries {
		for _, at := range one.addresses {
			fmt.Fprintf(&input, "%q %#x\n", one.path, at)
		}
	}
	var speeds []float64
	for range repetitions {
		if err := prepare(); err != nil {
			return name, Estimate{}, err
		}
		cmd := exec.CommandContext(ctx, path)
		cmd.Stdin = bytes.NewReader(input.Bytes())
		cmd.Stdout = io.Discard
		took, err := timed(cmd)
		if err != nil {
			return name, Estimate{}, err
		}
		speeds = append(speeds, corpusAddresses/took.Seconds())
	}
	return name, Median(speeds), nil
}

// slowAddresses is how many addresses of each binary the tools get that would take
// minutes for all of them.
const slowAddresses = 100

// addr2line times addr2line, one process a binary, on some of the addresses.
func (b *bench) addr2line(ctx context.Context, c corpus) (string, Estimate, error) {
	const name = "addr2line -f -i -C, on a fiftieth of them"
	path, err := lookTool("addr2line")
	if err != nil {
		return name, Estimate{}, err
	}
	count := 0
	var total time.Duration
	for _, one := range c.binaries {
		var input bytes.Buffer
		for _, at := range one.addresses[:min(slowAddresses, len(one.addresses))] {
			fmt.Fprintf(&input, "%#x\n", at)
			count++
		}
		cmd := exec.CommandContext(ctx, path, "-f", "-i", "-C", "-e", one.path)
		cmd.Stdin, cmd.Stdout = &input, io.Discard
		took, err := timed(cmd)
		if err != nil {
			return name, Estimate{}, err
		}
		total += took
	}
	return name, Median([]float64{float64(count) / total.Seconds()}), nil
}

// perfScript times perf script on a file of samples, one for each address, as perf
// record would have written it.
func (b *bench) perfScript(ctx context.Context, c corpus) (string, Estimate, error) {
	const name = "perf script -F ip,sym"
	path, err := lookTool("perf")
	if err != nil {
		return name, Estimate{}, err
	}
	file := filepath.Join(b.config.Dir, "lookups.perf.data")
	defer os.Remove(file)
	if err := writeTo(file, func(w io.Writer) error { return writePerfData(w, c) }); err != nil {
		return name, Estimate{}, err
	}
	var speeds []float64
	for range 3 {
		cmd := exec.CommandContext(ctx, path, "script", "-F", "ip,sym", "-i", file)
		lines := &counter{}
		cmd.Stdout = lines
		took, err := timed(cmd)
		if err != nil {
			return name, Estimate{}, err
		}
		if lines.n < corpusAddresses {
			return name, Estimate{}, fmt.Errorf("perf script printed %d lines for %d samples", lines.n, corpusAddresses)
		}
		speeds = append(speeds, corpusAddresses/took.Seconds())
	}
	return name, Median(speeds), nil
}

// counter counts the lines written to it.
type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) {
	c.n += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

func writeTo(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	return errors.Join(write(w), w.Flush(), f.Close())
}

// timed runs a command to its end.
func timed(cmd *exec.Cmd) (time.Duration, error) {
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(complaints.String()))
	}
	return time.Since(start), nil
}
