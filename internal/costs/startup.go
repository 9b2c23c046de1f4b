package costs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/symbolizer/kallsyms"
)

// startPart is one step of starting a recording.
type startPart struct {
	name string
	took []float64 // ms, one for each repetition
}

// measureStart times the steps of a start in this process, in the order in which a
// recording takes them.
func measureStart(cpus []int, frequency, repetitions int) ([]startPart, error) {
	parts := []startPart{
		{name: "loading the shared maps"}, {name: "opening the process records"}, {name: "reading /proc"},
		{name: "loading and starting the sampler"}, {name: "reading the kernel's symbols"},
	}
	for range repetitions {
		took, err := startOnce(cpus, frequency)
		if err != nil {
			return nil, err
		}
		for i, t := range took {
			parts[i].took = append(parts[i].took, float64(t)/float64(time.Millisecond))
		}
	}
	return parts, nil
}

func startOnce(cpus []int, frequency int) (took []time.Duration, err error) {
	var opened []io.Closer
	defer func() {
		for _, c := range opened {
			err = errors.Join(err, c.Close())
		}
	}()
	var shared *core.Core
	for _, step := range []func() (io.Closer, error){
		func() (c io.Closer, err error) { shared, err = core.Load(0); return shared, err },
		func() (io.Closer, error) { return lifecycle.Open(cpus) },
		func() (io.Closer, error) {
			binaries := process.NewBinaries()
			if _, _, err := process.Scan(binaries); err != nil {
				return nil, errors.Join(err, binaries.Close())
			}
			return binaries, nil
		},
		func() (io.Closer, error) { return cpu.Open(shared, cpus, frequency) },
		openKernelSymbols,
	} {
		start := time.Now()
		c, err := step()
		took = append(took, time.Since(start))
		if err != nil {
			return nil, fmt.Errorf("timing the start of a recording: %w", err)
		}
		opened = append([]io.Closer{c}, opened...)
	}
	return took, nil
}

func openKernelSymbols() (io.Closer, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil, err
	}
	if _, err := kallsyms.Parse(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
