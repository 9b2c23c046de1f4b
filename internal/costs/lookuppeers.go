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
		if err := b.lookupBesideLLVM(ctx, c); err != nil {
			return err
		}
		for _, peer := range []func(context.Context, corpus) (string, Estimate, error){b.addr2line, b.perfScript} {
			name, theirs, err := peer(ctx, c)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				b.table.skip(c.what()+": "+name, err)
				continue
			}
			b.table.add(c.what()+": "+name, "addresses/s", theirs)
		}
	}
	return nil
}

// lookupBesideLLVM has Narrows and llvm-symbolizer name the same addresses in turn.
// llvm-symbolizer keeps nothing for the next time and uses one CPU; Narrows uses all.
func (b *bench) lookupBesideLLVM(ctx context.Context, c corpus) error {
	llvm, err := newLLVM(c, b.config.Dir)
	if err != nil {
		b.table.skip(c.what()+": llvm-symbolizer", err)
		_, err := b.lookup(ctx, c, func() error { return nil })
		return err
	}
	var warm, fromDisk, cpu []float64
	ours, err := b.lookup(ctx, c, func() error {
		took, err := llvm.run(ctx)
		if err != nil {
			return err
		}
		warm = append(warm, corpusAddresses/took.wall.Seconds())
		cpu = append(cpu, took.cpu.Seconds()*1e3)
		if err := dropCaches(); err != nil {
			return err
		}
		if took, err = llvm.run(ctx); err != nil {
			return err
		}
		fromDisk = append(fromDisk, corpusAddresses/took.wall.Seconds())
		return nil
	})
	if err != nil {
		return err
	}
	b.table.add(c.what()+": "+llvm.name+", on one CPU", "addresses/s", Median(warm))
	b.table.add(c.what()+": "+llvm.name+", page cache emptied", "addresses/s", Median(fromDisk))
	b.table.add(c.what()+": "+llvm.name+": CPU time", "ms", Median(cpu))
	for _, pair := range []struct {
		name         string
		ours, theirs []float64
	}{
		{"the first time", ours.first, warm}, {"page cache emptied", ours.fromDisk, fromDisk}, {"warm", ours.warm, warm},
		{"the first time, by CPU time", inverse(ours.firstCPU), inverse(cpu)}, {"warm, by CPU time", inverse(ours.warmCPU), inverse(cpu)},
	} {
		b.table.add(fmt.Sprintf("%s: narrows against %s, %s", c.what(), llvm.name, pair.name), "times as fast", Median(ratios(pair.ours, pair.theirs)))
	}
	same, compared, err := llvm.agreement(ctx, c)
	if err != nil {
		return err
	}
	b.table.add(c.what()+": of a sample, named as by "+llvm.name, "%", Estimate{Median: 100 * float64(same) / float64(compared), N: compared})
	return nil
}

func inverse(values []float64) []float64 {
	inverse := make([]float64, len(values))
	for i, v := range values {
		inverse[i] = 1 / v
	}
	return inverse
}

func ratios(a, b []float64) []float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return ratios
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
