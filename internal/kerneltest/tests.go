package kerneltest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/internal/kerneltest/guest"
)

// PackageResult is what became of one package on one kernel. Tests and subtests count alike.
type PackageResult struct {
	Package                 string
	Passed, Failed, Skipped int
	Elapsed                 time.Duration // by the machine's clock
	Problem                 string        // empty if the package passed: why it did not
}

// testEvent is one line of test2json (go doc test2json).
type testEvent struct {
	Action string
	Test   string
	Output string
}

// packageRun follows one package's binary. Its output goes through the go command's own test2json.
type packageRun struct {
	result    PackageResult
	printer   printer
	converter *exec.Cmd
	input     io.WriteCloser
	finished  chan error // the reading goroutine's result

	texts map[string]*bytes.Buffer // output of each test that has not ended; "" is the package's own
	open  []string                 // tests that have begun and not ended, in order
}

// beginPackage starts the converter for a package's output.
func beginPackage(ctx context.Context, name string, to printer) (*packageRun, error) {
	run := &packageRun{
		result: PackageResult{Package: name}, printer: to, finished: make(chan error, 1),
		texts: map[string]*bytes.Buffer{"": {}}, converter: exec.CommandContext(ctx, "go", "tool", "test2json"),
	}
	input, err := run.converter.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting test2json: %w", err)
	}
	output, err := run.converter.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting test2json: %w", err)
	}
	run.input = input
	if err := run.converter.Start(); err != nil {
		return nil, fmt.Errorf("starting test2json: %w", err)
	}
	go func() { run.finished <- run.read(output) }()
	return run, nil
}

// write takes a piece of the binary's output.
func (r *packageRun) write(output []byte) error {
	if _, err := r.input.Write(output); err != nil {
		return fmt.Errorf("converting the output of %s: %w", r.result.Package, err)
	}
	return nil
}

// end waits for the converter and judges the package by the machine's End event.
func (r *packageRun) end(event guest.Event) (PackageResult, error) {
	closed := r.input.Close()
	read := <-r.finished
	if err := errors.Join(closed, read, r.converter.Wait()); err != nil {
		return r.result, fmt.Errorf("converting the output of %s: %w", r.result.Package, err)
	}
	r.result.Elapsed = event.Elapsed
	for _, name := range r.open {
		r.result.Failed++
		r.printer.lines(r.texts[name].String() + "--- FAIL: " + name + " (it did not end)\n")
	}
	switch {
	case event.Reason != "":
		r.result.Problem = event.Reason
	case event.ExitCode != 0 && r.result.Failed > 0:
		r.result.Problem = "tests failed"
	case event.ExitCode != 0:
		r.result.Problem = fmt.Sprintf("exit code %d", event.ExitCode)
	case r.result.Failed > 0:
		r.result.Problem = "tests failed, though the exit code is 0"
	}
	if own := r.texts[""].String(); r.result.Problem != "" && !r.printer.verbose {
		r.printer.lines(own)
	}
	r.printer.lines(r.result.line())
	return r.result, nil
}

// read follows test2json's output to its end.
func (r *packageRun) read(output io.Reader) error {
	for decoder := json.NewDecoder(output); ; {
		var event testEvent
		if err := decoder.Decode(&event); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r.take(event)
	}
}

// take counts and prints one event. Output of a test is kept until it ends, and printed then unless it passed.
func (r *packageRun) take(event testEvent) {
	switch event.Action {
	case "run":
		r.open = append(r.open, event.Test)
		r.texts[event.Test] = &bytes.Buffer{}
	case "output":
		if r.printer.verbose {
			r.printer.lines(event.Output)
		} else if text := r.texts[event.Test]; text != nil && !strings.HasPrefix(event.Output, "=== ") {
			text.WriteString(event.Output)
		}
	case "pass", "fail", "skip":
		r.close(event)
	}
}

// close ends a test. The package's own verdict, an event without a test, is left to the exit code.
func (r *packageRun) close(event testEvent) {
	text := r.texts[event.Test]
	if event.Test == "" || text == nil {
		return
	}
	switch event.Action {
	case "pass":
		r.result.Passed++
	case "fail":
		r.result.Failed++
	case "skip":
		r.result.Skipped++
	}
	if event.Action != "pass" {
		r.printer.lines(text.String())
	}
	delete(r.texts, event.Test)
	for i, name := range r.open {
		if name == event.Test {
			r.open = append(r.open[:i], r.open[i+1:]...)
			break
		}
	}
}

// line is what the go command prints of a package, with counts.
func (p PackageResult) line() string {
	counts := fmt.Sprintf("%.2fs\t%d passed, %d failed, %d skipped", p.Elapsed.Seconds(), p.Passed, p.Failed, p.Skipped)
	if p.Problem != "" {
		return fmt.Sprintf("FAIL\t%s\t%s: %s\n", p.Package, counts, p.Problem)
	}
	return fmt.Sprintf("ok  \t%s\t%s\n", p.Package, counts)
}
