package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/narrows-profiler/narrows/internal/kerneltest/guest"
	"github.com/narrows-profiler/narrows/internal/kerneltest/kernel"
)

// Run tests the packages on each kernel in turn and prints to [Config.Out] as it goes. Failed tests and machines are in the report ([Report.Err]); the error says that the tests
// could not be prepared: a package that does not compile, a full disk, a cancelled context.
func Run(ctx context.Context, c Config) (Report, error) {
	if err := c.check(); err != nil {
		return Report{}, err
	}
	report, images, busybox, err := findMachines(ctx, c)
	if err != nil || len(images) == 0 {
		return report, err
	}
	work, err := os.MkdirTemp("", "kerneltest-")
	if err != nil {
		return report, fmt.Errorf("making a folder for the test machines: %w", err)
	}
	defer os.RemoveAll(work)
	p := parts{init: filepath.Join(work, "init"), busybox: busybox}
	if err := buildInit(ctx, c, p.init); err != nil {
		return report, err
	}
	if p.binaries, err = buildTests(ctx, c, work); err != nil {
		return report, err
	}
	for i := range report.Kernels {
		image, found := images[report.Kernels[i].Series]
		if !found {
			continue
		}
		if err := runKernel(ctx, c, image, p, work, &report.Kernels[i]); err != nil {
			return report, err
		}
	}
	return report, nil
}

// findMachines finds the emulator, the shell and the kernels. Whatever is missing becomes a skipped kernel in the report.
func findMachines(ctx context.Context, c Config) (report Report, images map[string]kernel.Image, busybox string, err error) {
	images = map[string]kernel.Image{}
	missing := ""
	if _, err := exec.LookPath(emulator); err != nil {
		missing = emulator + " is not installed (Debian: qemu-system-x86)"
	} else if busybox, err = c.Cache.Busybox(ctx); err != nil {
		if !errors.Is(err, kernel.ErrUnavailable) {
			return report, nil, "", err
		}
		missing = err.Error()
	}
	for _, series := range c.Series {
		result := KernelResult{Series: series, Skipped: missing}
		if missing == "" {
			image, err := c.Cache.Find(ctx, series, c.Refresh)
			switch {
			case err == nil:
				images[series], result.Release = image, image.Release
			case errors.Is(err, kernel.ErrUnavailable):
				result.Skipped = err.Error()
			default:
				return report, nil, "", err
			}
		}
		report.Kernels = append(report.Kernels, result)
	}
	return report, images, busybox, nil
}

// runKernel runs all packages on one kernel and fills in its result.
func runKernel(ctx context.Context, c Config, image kernel.Image, p parts, work string, result *KernelResult) error {
	initrd := filepath.Join(work, "initramfs")
	if err := writeImage(initrd, c, image, p); err != nil {
		return err
	}
	m := machine{
		vmlinuz: image.Vmlinuz, initrd: initrd, console: filepath.Join(work, "console"),
		memoryMiB: c.MemoryMiB, processors: c.Processors, silence: c.Silence,
	}
	limited, cancel := context.WithTimeoutCause(ctx, c.Total, fmt.Errorf("it was not done after %v", c.Total))
	defer cancel()
	s := session{ctx: ctx, begin: time.Now(), result: result, printer: printer{out: c.Out, series: image.Series, verbose: c.Verbose}}
	s.printer.lines("booting " + image.Release + "\n")
	failed := m.run(limited, s.handle)
	result.Total = time.Since(s.begin)
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), s.abandon("interrupted"))
	}
	if failed != nil {
		result.Problem = failed.Error()
		s.printer.lines("FAIL\tthe machine: " + result.Problem + "\n")
		if err := s.abandon("the machine failed while it ran"); err != nil {
			return err
		}
	}
	for _, binary := range p.binaries[len(result.Packages):] {
		result.Packages = append(result.Packages, PackageResult{Package: binary.importPath, Problem: "not run: the machine had failed"})
	}
	return nil
}

// session follows one machine's events.
type session struct {
	ctx     context.Context
	begin   time.Time
	result  *KernelResult
	printer printer
	running *packageRun
}

// handle takes the next event. It refuses a machine that runs another kernel than it was given, and events out of order.
func (s *session) handle(event guest.Event) (err error) {
	switch {
	case event.Kind == guest.Up:
		s.result.Boot = time.Since(s.begin)
		if event.Release != s.result.Release {
			return fmt.Errorf("its kernel says it is %s, not %s", event.Release, s.result.Release)
		}
	case event.Kind == guest.Begin && s.running == nil:
		s.running, err = beginPackage(s.ctx, event.Package, s.printer)
	case event.Kind == guest.Output && s.running != nil:
		err = s.running.write(event.Output)
	case event.Kind == guest.End && s.running != nil:
		err = s.end(event)
	case event.Kind == guest.Alive, event.Kind == guest.Done && s.running == nil:
	default:
		return fmt.Errorf("its init sent an event %q out of order", event.Kind)
	}
	return err
}

func (s *session) end(event guest.Event) error {
	result, err := s.running.end(event)
	s.running = nil
	s.result.Packages = append(s.result.Packages, result)
	return err
}

// abandon ends the package that was running when the machine failed, if there was one.
func (s *session) abandon(reason string) error {
	if s.running == nil {
		return nil
	}
	return s.end(guest.Event{Kind: guest.End, ExitCode: -1, Reason: reason})
}
