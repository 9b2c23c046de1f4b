// Command eval plants known bottlenecks into the reference services and asks whether
// narrows ranks them first. It is run from the top of the source, as root:
//
//	eval [-service NAME] [-fault NAME] [-iterations N] [-o docs/planted.md] bin/narrows
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/narrows-profiler/narrows/internal/costs"
	"github.com/narrows-profiler/narrows/internal/eval"
	"github.com/narrows-profiler/narrows/workloads/plan"
	"github.com/narrows-profiler/narrows/workloads/plant"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "eval:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	flags := flag.NewFlagSet("eval", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.Usage = func() {
		fmt.Fprintln(progress, "usage: eval [FLAGS] NARROWS")
		flags.PrintDefaults()
	}
	service := flags.String("service", "", "only the faults of this service")
	fault := flags.String("fault", "", "only this fault")
	iterations := flags.Int("iterations", 0, "measured requests of each run, instead of each benchmark's own number")
	page := flags.String("o", "", "write the page of faults and results to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return errors.New("one argument is needed, the narrows executable")
	}
	if os.Geteuid() != 0 {
		return errors.New("recording needs root: run it with sudo")
	}
	binary, err := exec.LookPath(flags.Arg(0))
	if err != nil {
		return fmt.Errorf("finding narrows: %w", err)
	}
	subjects := chosen(*service, *fault)
	if len(subjects) == 0 {
		return fmt.Errorf("no service %q has a fault %q", *service, *fault)
	}
	dir, err := os.MkdirTemp("", "narrows-eval")
	if err != nil {
		return fmt.Errorf("making room for recordings: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	config := eval.Config{Binary: binary, Dir: dir, Iterations: *iterations, Progress: progress}
	if config.Binary, err = filepath.Abs(binary); err != nil {
		return fmt.Errorf("finding narrows: %w", err)
	}
	results, err := eval.Run(ctx, config, subjects)
	if err != nil {
		return err
	}
	if err := eval.WriteTable(out, results, plant.CPU, plant.Lock, plant.OffCPU, plant.Alloc, plant.Leak); err != nil {
		return err
	}
	if *page == "" {
		return nil
	}
	return writePage(*page, subjects, results)
}

// chosen lists the faults of the services, all or those of a name.
func chosen(service, fault string) []eval.Subject {
	var subjects []eval.Subject
	for _, s := range plan.Services() {
		for _, f := range plan.Faults(s) {
			if (service == "" || service == s) && (fault == "" || fault == f.Name) {
				subjects = append(subjects, eval.Subject{Service: s, Fault: f})
			}
		}
	}
	return subjects
}

// writePage writes the page for docs/.
func writePage(name string, subjects []eval.Subject, results []eval.Result) (err error) {
	machine, err := costs.ThisMachine()
	if err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fmt.Fprint(f, `# Planted bottlenecks

Each reference service can be started with a bottleneck that is known, and with the same bottleneck mended:

`+"```sh"+`
narrows serve ryot --plant prompt-logits
narrows run --benchmark FirstTokenLatency --plant ryot=prompt-logits          # what is ranked first?
narrows run --benchmark FirstTokenLatency --plant ryot=prompt-logits=fixed    # what did mending it give?
`+"```"+`

`)
	if err := eval.WriteFaults(f, subjects); err != nil {
		return err
	}
	fmt.Fprintf(f, `
## Are they found?

What `+"`make eval`"+` printed on this machine: %s. The gain predicted is what Amdahl's law leaves at most if the place cost
nothing, and holds for work that is bound by the CPU; of a place that waits nothing is predicted where requests come on a schedule.
A fault that shows in waits is found where its function waits or lets go what others wait for. One of memory is found where
its function is what memory costs time for, a leak first among the leaks of its service, with allocations recorded; it slows nothing down until memory ends. The gain that the fix gave is the ratio of the benchmark's metric in two runs,
with the bounds that the intervals of the two leave. A fault that shows in a signal that is not recorded yet is listed all the same.

`, machine)
	return eval.WriteTable(f, results, plant.CPU, plant.Lock, plant.OffCPU, plant.Alloc, plant.Leak)
}
