// Command costs measures what Narrows costs on this machine and prints a table in
// Markdown. It is run from the top of the source, as root:
//
//	costs [-peers] [-only TEXT] bin/narrows
//
// With -peers it compares with perf instead, where perf is installed.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "costs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	flags := flag.NewFlagSet("costs", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.Usage = func() {
		fmt.Fprintln(progress, "usage: costs [-peers] [-only TEXT] NARROWS")
		flags.PrintDefaults()
	}
	peers := flags.Bool("peers", false, "compare with perf instead")
	only := flags.String("only", "", "measure only steps with this in their name, such as \"wait\"")
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
	if binary, err = filepath.Abs(binary); err != nil {
		return fmt.Errorf("finding narrows: %w", err)
	}
	dir, err := os.MkdirTemp("", "narrows-costs")
	if err != nil {
		return fmt.Errorf("making room for recordings: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	measure := costs.Measure
	if *peers {
		measure = costs.Peers
	}
	table, err := measure(ctx, costs.Config{Binary: binary, Dir: dir, Out: progress, Only: *only})
	if err != nil {
		return err
	}
	fmt.Fprintln(progress)
	_, err = table.WriteTo(out)
	return err
}
