// Command kerneltest runs packages' Go tests on other Linux kernels, in emulated machines:
//
//	kerneltest -kernel 6.1 -kernel 6.12 ./bpf/... ./collector/...
//
// It exits with 0 if every package passed on every kernel, 1 if something failed or nothing was tested, 2 if it was called wrongly. If qemu or a kernel cannot be had it
// says so and exits with 0, unless -require is given or the environment says CI=true.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/narrows-profiler/narrows/internal/kerneltest"
	"github.com/narrows-profiler/narrows/internal/kerneltest/kernel"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, complaints io.Writer) int {
	config, require, err := parse(args, complaints)
	if err != nil {
		return 2
	}
	config.Out = out
	config.Cache.Log = complaints
	report, err := kerneltest.Run(ctx, config)
	if err == nil {
		_, err = report.WriteTo(out)
	}
	if err == nil {
		err = report.Err(require)
	}
	if err != nil {
		fmt.Fprintln(complaints, "kerneltest:", err)
		return 1
	}
	return 0
}

// parse reads the command line. Its errors are printed already.
func parse(args []string, complaints io.Writer) (config kerneltest.Config, require bool, err error) {
	config = kerneltest.Defaults()
	flags := flag.NewFlagSet("kerneltest", flag.ContinueOnError)
	flags.SetOutput(complaints)
	flags.Usage = func() {
		fmt.Fprintln(complaints, "usage: kerneltest -kernel SERIES [-kernel SERIES ...] [flags] PACKAGES")
		flags.PrintDefaults()
	}
	flags.Func("kernel", "kernel `series` to test on, such as 6.1 (repeatable)", func(text string) error {
		config.Series = append(config.Series, text)
		return nil
	})
	flags.Func("env", "`NAME=VALUE` for the tests' environment (repeatable)", func(text string) error {
		config.Env = append(config.Env, text)
		return nil
	})
	flags.Func("file", "`HOST:GUEST`: copy the host's file or folder into the machine (repeatable)", func(text string) error {
		file, err := kerneltest.ParseFile(text)
		config.Files = append(config.Files, file)
		return err
	})
	flags.StringVar(&config.Pattern, "run", "", "run only tests that match `REGEXP`")
	flags.StringVar(&config.Tags, "tags", "", "build `tags`, separated by commas")
	flags.DurationVar(&config.PackageTimeout, "timeout", config.PackageTimeout, "limit for one package")
	flags.DurationVar(&config.Silence, "silence", config.Silence, "limit for the boot, and for a machine that says nothing")
	flags.DurationVar(&config.Total, "total", config.Total, "limit for one kernel")
	flags.IntVar(&config.MemoryMiB, "memory", config.MemoryMiB, "a machine's memory in `MiB`")
	flags.IntVar(&config.Processors, "cpus", config.Processors, "a machine's processors")
	flags.BoolVar(&config.Verbose, "v", false, "print the output of tests that pass, too")
	flags.BoolVar(&config.Refresh, "refresh", false, "ask Debian for newer kernels than those that were kept")
	flags.StringVar(&config.Cache.Dir, "cache", "", "`folder` to keep kernels in (default: narrows/kernels in the user's cache folder)")
	flags.BoolVar(&require, "require", os.Getenv("CI") == "true", "fail if qemu or a kernel cannot be had")
	if err := flags.Parse(args); err != nil {
		return config, require, err
	}
	config.Packages = flags.Args()
	if len(config.Series) == 0 || len(config.Packages) == 0 {
		err := fmt.Errorf("kerneltest: give one -kernel and one package at least")
		fmt.Fprintln(complaints, err)
		flags.Usage()
		return config, require, err
	}
	if config.Cache.Dir == "" {
		if config.Cache.Dir, err = kernel.DefaultDir(); err != nil {
			fmt.Fprintln(complaints, "kerneltest:", err)
			return config, require, err
		}
	}
	return config, require, nil
}
