package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The names under which this test binary is another program: the command line
// itself, and loads whose functions are known.
const (
	narrowsName = "narrows"
	spinnerName = "spinner"
	hagglerName = "haggler"
)

// programs is the folder of all of them, which every user may enter.
var programs string

func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case narrowsName:
		os.Exit(execute(os.Args[1:], streams{os.Stdout, os.Stderr}))
	case spinnerName:
		os.Exit(spin(os.Args[1:]))
	case hagglerName:
		haggle()
		os.Exit(0)
	case deepName:
		if err := gatherDeep(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(testAll(m))
}

func testAll(m *testing.M) int {
	var err error
	if programs, err = copyPrograms(); err != nil {
		fmt.Fprintf(os.Stderr, "copying the test binary: %v\n", err)
		return 1
	}
	defer os.RemoveAll(programs)
	// What is kept of binaries is the tests' own.
	if err := os.Setenv("NARROWS_SYMBOL_CACHE", filepath.Join(programs, "cache")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func copyPrograms() (_ string, err error) {
	dir, err := os.MkdirTemp("", "narrows-test-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	in, err := os.Open(self)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(dir, narrowsName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return "", err
	}
	if err := out.Close(); err != nil {
		return "", err
	}
	return dir, errors.Join(os.Link(out.Name(), filepath.Join(dir, spinnerName)), os.Link(out.Name(), filepath.Join(dir, hagglerName)), os.Link(out.Name(), filepath.Join(dir, deepName)))
}

// spin keeps a number of CPUs busy for a time, after it has printed its PID.
func spin(args []string) int {
	if len(args) != 2 {
		return 2
	}
	threads, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	duration, err := time.ParseDuration(args[1])
	if err != nil {
		return 2
	}
	fmt.Println(os.Getpid())
	end := time.Now().Add(duration)
	done := make(chan uint64)
	for range threads {
		go func() {
			sum := uint64(0)
			for time.Now().Before(end) {
				sum += burn(1 << 20)
			}
			done <- sum
		}()
	}
	for range threads {
		<-done
	}
	return 0
}

// burn is where a spinner's time goes.
//
//go:noinline
func burn(rounds int) uint64 {
	x := uint64(rounds)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// TestScripts runs the command lines of testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", programs+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("NARROWS_SYMBOL_CACHE", os.Getenv("NARROWS_SYMBOL_CACHE"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "recordable":
				return recordable() == nil, nil
			}
			return false, fmt.Errorf("there is no condition %q", name)
		},
	})
}

// recordable says why nothing can be recorded here, if so.
func recordable() error {
	if os.Geteuid() != 0 {
		return errors.New("recording needs root")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return fmt.Errorf("recording needs a kernel with BTF: %w", err)
	}
	return nil
}

func requireRecording(t *testing.T) {
	t.Helper()
	if err := recordable(); err != nil {
		t.Skip(err)
	}
}

func requireRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: ", why)
	}
}

// result is what a command line left behind.
type result struct {
	stdout, stderr string
	status         int
}

// narrows prepares a command line to run in an empty folder.
func narrows(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(programs, narrowsName), args...)
	cmd.Dir = t.TempDir()
	return cmd
}

// finish runs a prepared command line to its end.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// succeed runs a command line that has to end with status 0.
func succeed(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	r := finish(t, cmd)
	if r.status != 0 {
		t.Fatalf("%s: exit status %d\n%s%s", strings.Join(cmd.Args, " "), r.status, r.stdout, r.stderr)
	}
	return r
}

// process is a program that runs beside the test and is gone after it.
type process struct {
	*exec.Cmd
	lines chan string // of its standard output, closed at its end
}

// launch starts a program whose standard output is read line by line.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return read(t, cmd, output)
}

// read starts a program and reads lines from one of its outputs.
func read(t *testing.T, cmd *exec.Cmd, output io.Reader) *process {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		scan(output, p.lines)
	}()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			p.wait()
		}
	})
	return p
}

func scan(from io.Reader, to chan<- string) {
	var rest []byte
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		rest = append(rest, buffer[:n]...)
		for {
			line, after, whole := bytes.Cut(rest, []byte("\n"))
			if !whole {
				break
			}
			to <- string(line)
			rest = after
		}
		if err != nil {
			return
		}
	}
}

// line waits for the next line.
func (p *process) line(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.Wait()
			t.Fatalf("%s ended: %v", strings.Join(p.Args, " "), p.ProcessState)
		}
		return line
	case <-time.After(20 * time.Second):
		t.Fatalf("%s prints nothing", strings.Join(p.Args, " "))
	}
	return ""
}

// wait drains the output and returns the exit status, -1 after a signal.
func (p *process) wait() int {
	for range p.lines {
	}
	p.Wait()
	return p.ProcessState.ExitCode()
}

// startSpinner starts a spinner and returns it with its PID.
func startSpinner(t *testing.T, threads int) (*process, int) {
	t.Helper()
	p := launch(t, exec.Command(filepath.Join(programs, spinnerName), strconv.Itoa(threads), "1m"))
	pid, err := strconv.Atoi(p.line(t))
	if err != nil {
		t.Fatal(err)
	}
	return p, pid
}

// busy keeps every CPU busy until the test ends.
func busy(t *testing.T) {
	t.Helper()
	startSpinner(t, runtime.NumCPU())
}
