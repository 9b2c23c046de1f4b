package kerneltest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// initPackage is the program that the machines start first.
const initPackage = "github.com/narrows-profiler/narrows/internal/kerneltest/cmd/guestinit"

// testBinary is one package's tests, compiled for the machines.
type testBinary struct {
	importPath string
	host       string // path of the executable
	sourceDir  string // where the package lies on the host
	guestDir   string // where it lies in the machine
}

// listedPackage is what is read of the go command's answer (go help list).
type listedPackage struct {
	ImportPath   string
	Dir          string
	TestGoFiles  []string
	XTestGoFiles []string
	Module       *struct{ Path string }
}

// buildTests compiles into the folder out the tests of every package that the patterns match and that has any.
func buildTests(ctx context.Context, c Config, out string) ([]testBinary, error) {
	args := []string{"list", "-tags", c.Tags, "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles,Module"}
	listed, err := runGo(ctx, c.Dir, append(args, c.Packages...)...)
	if err != nil {
		return nil, fmt.Errorf("listing the packages to test: %w", err)
	}
	var binaries []testBinary
	for decoder := json.NewDecoder(bytes.NewReader(listed)); ; {
		var p listedPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("listing the packages to test: %w", err)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue
		}
		below := p.ImportPath
		if p.Module != nil {
			below = strings.TrimPrefix(below, p.Module.Path)
		}
		binary := testBinary{
			importPath: p.ImportPath, sourceDir: p.Dir, guestDir: path.Join("/src", below),
			host: filepath.Join(out, strconv.Itoa(len(binaries))+".test"),
		}
		if _, err := runGo(ctx, c.Dir, "test", "-c", "-tags", c.Tags, "-o", binary.host, p.ImportPath); err != nil {
			return nil, fmt.Errorf("compiling the tests of %s: %w", p.ImportPath, err)
		}
		binaries = append(binaries, binary)
	}
	if len(binaries) == 0 {
		return nil, fmt.Errorf("no package that matches %s has tests", strings.Join(c.Packages, " "))
	}
	return binaries, nil
}

// buildInit compiles the machines' init into the file out.
func buildInit(ctx context.Context, c Config, out string) error {
	if _, err := runGo(ctx, c.Dir, "build", "-o", out, initPackage); err != nil {
		return fmt.Errorf("compiling the machines' init: %w", err)
	}
	return nil
}

// runGo runs the go command for static amd64 Linux programs and returns its standard output.
func runGo(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(complaints.Bytes()))
	}
	return out, nil
}
