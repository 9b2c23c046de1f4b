// Command narrows profiles a Linux host and says what holds it back.
//
// Each subcommand is one file here: it reads its flags, calls the packages that do
// the work, and says on the terminal what they are doing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/alecthomas/kong"
	"github.com/narrows-profiler/narrows/internal/version"
	"github.com/narrows-profiler/narrows/workloads/plan"
	"golang.org/x/sys/unix"
)

// commands is the command line.
type commands struct {
	Run       runCommand       `cmd:"" help:"Drive the services, profile the machine, rank what holds them back: the main job."`
	Record    recordCommand    `cmd:"" help:"Profile what runs: everything, a process, a cgroup, or a command."`
	Locks     locksCommand     `cmd:"" help:"Say for which locks threads wait, who holds those, and what that one does meanwhile."`
	Bench     benchCommand     `cmd:"" help:"Run benchmarks against a service, without profiling."`
	Flame     flameCommand     `cmd:"" help:"Draw a flame graph of a pprof file or a session."`
	Symbolize symbolizeCommand `cmd:"" help:"Name the functions of a pprof file, also of one from another host."`
	Serve     serveCommand     `cmd:"" help:"Run a reference service."`
	Doctor    doctorCommand    `cmd:"" help:"Say what works on this host, what does not, and what to do about it. Changes nothing."`
	Null      nullCommand      `cmd:"" hidden:"" help:"Answer a benchmark's requests at once, so that the load generator can measure itself."`
	Generate  generateCommand  `cmd:"" hidden:"" help:"Make the load of a benchmark, as the standard input asks for it."`
	Split     splitCommand     `cmd:"" hidden:"" help:"Spend CPU time in known parts, so that the profiler can be measured."`

	Version kong.VersionFlag `help:"Print the version."`
}

// streams are where a command talks; tests put their own in.
type streams struct {
	out, err io.Writer
}

func main() {
	os.Exit(execute(os.Args[1:], streams{os.Stdout, os.Stderr}))
}

// execute runs one command line and returns the exit status: 0, 1 for a failure,
// 2 for a command line that makes no sense, 128 and the signal's number after an
// early end on request, and a recorded program's own where it failed.
func execute(args []string, s streams) int {
	var cli commands
	exited := -1
	parser, err := kong.New(&cli,
		kong.Name("narrows"),
		kong.Description("Narrows finds the place where a Linux system is tightest: it samples the whole machine and says what holds it back, by how much, and how sure it is.\n\nTry: narrows doctor, then sudo narrows run."),
		kong.Vars{"version": "narrows " + version.String(), "seed": strconv.Itoa(plan.DefaultSeed)},
		kong.Writers(s.out, s.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Exit(func(status int) { exited = status }),
	)
	if err != nil {
		fmt.Fprintf(s.err, "narrows: %v\n", err)
		return 2
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help and --version have printed what they had to
	}
	if err != nil {
		fmt.Fprintf(s.err, "narrows: %v\n  see: narrows --help\n", err)
		return 2
	}
	ctx, stop := withInterruption(context.Background())
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	return conclude(s.err, command.Run(s))
}

// conclude prints an error and returns the exit status.
func conclude(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var child childError
	if errors.As(err, &child) { // it comes alone: a recording that failed says so instead
		fmt.Fprintf(w, "narrows: %v\n", child)
		return child.status
	}
	var interrupted interruption
	if errors.As(err, &interrupted) && onlyInterruption(err) {
		fmt.Fprintf(w, "narrows: %v\n", interrupted)
		return interrupted.status()
	}
	printError(w, err)
	return 1
}

// printError prints what failed and why, then what to do about it if that is known.
func printError(w io.Writer, err error) {
	first, others := err, 0
	if errors.Is(err, unix.ENOSPC) {
		others, first = firstOf(err, unix.ENOSPC)
	}
	fmt.Fprintf(w, "narrows: %v\n", first)
	if others > 0 {
		fmt.Fprintf(w, "  more failed for the same reason: %d\n", others)
	}
	if advice := advise(err); advice != "" {
		fmt.Fprintf(w, "  what to do: %s\n", advice)
	}
}

// firstOf returns the first of joined errors that has a cause, and how many more
// there are: a full disk fails everything that comes after.
func firstOf(err, cause error) (others int, first error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return 0, err
	}
	for _, part := range joined.Unwrap() {
		if !errors.Is(part, cause) {
			continue
		}
		more, next := firstOf(part, cause)
		if first == nil {
			first, others = next, more
		} else {
			others += 1 + more
		}
	}
	return others, first
}

// advisedError is an error whose remedy its finder knows.
type advisedError struct {
	error
	advice string
}

func (e advisedError) Unwrap() error { return e.error }

// advise tells what to do about an error.
func advise(err error) string {
	var advised advisedError
	if errors.As(err, &advised) {
		return advised.advice
	}
	// Errors about files say themselves what to do about them; what remains is
	// what the kernel refuses.
	var file *fs.PathError
	if errors.As(err, &file) || !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	if os.Geteuid() != 0 {
		return "run it as root: sudo narrows ..."
	}
	return "narrows doctor tells which permission is missing; in a container, it needs --privileged and the host's PID namespace"
}
