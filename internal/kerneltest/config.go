package kerneltest

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/internal/kerneltest/kernel"
)

// KernelVariable is the environment variable in which a test finds the series of the kernel that it is meant to run on, such as 6.1.
const KernelVariable = "NARROWS_TEST_KERNEL"

// Config says what to run, and where. Zero durations and sizes are refused; [Defaults] fills them.
type Config struct {
	Series   []string // kernel series, such as 6.1
	Packages []string // patterns as the go command takes them
	Pattern  string   // -test.run; empty runs every test
	Tags     string   // build tags, separated by commas
	Env      []string // NAME=VALUE for the tests
	Files    []File
	Dir      string // a folder of the module; empty is the current one

	PackageTimeout time.Duration // -test.timeout
	Silence        time.Duration // a machine that says nothing for so long is taken to hang; also the limit for its boot
	Total          time.Duration // limit for one kernel, boot included
	MemoryMiB      int
	Processors     int

	Verbose bool // print the output of tests that pass, too
	Refresh bool // ask for newer kernels than those in the cache
	Cache   kernel.Cache
	Out     io.Writer // gets the lines meant for people
}

// File is a host's file or folder that the machine gets a copy of.
type File struct {
	Host  string
	Guest string // absolute path
}

// Defaults returns a Config with every limit set.
func Defaults() Config {
	return Config{
		PackageTimeout: 5 * time.Minute, Silence: 2 * time.Minute, Total: 20 * time.Minute,
		MemoryMiB: 2048, Processors: 2, Out: io.Discard,
	}
}

// ParseFile reads "HOST:GUEST".
func ParseFile(text string) (File, error) {
	host, guest, found := strings.Cut(text, ":")
	if !found || host == "" || !path.IsAbs(guest) {
		return File{}, fmt.Errorf("%q is not HOST:GUEST with an absolute path in the machine", text)
	}
	return File{Host: host, Guest: guest}, nil
}

func (c Config) check() error {
	switch {
	case len(c.Series) == 0:
		return errors.New("running tests on other kernels: no kernel series is given")
	case len(c.Packages) == 0:
		return errors.New("running tests on other kernels: no package is given")
	case c.PackageTimeout <= 0 || c.Silence <= 0 || c.Total <= 0:
		return errors.New("running tests on other kernels: every time limit must be above zero")
	case c.MemoryMiB < 256 || c.Processors < 1:
		return errors.New("running tests on other kernels: a machine needs 256 MiB and one processor at least")
	}
	for _, pair := range c.Env {
		if name, _, found := strings.Cut(pair, "="); !found || name == "" {
			return fmt.Errorf("running tests on other kernels: %q is not NAME=VALUE", pair)
		}
	}
	return nil
}
