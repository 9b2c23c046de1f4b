package service

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/narrows-profiler/narrows/workloads/child"
)

// Tool is a service that speaks over its standard input and output. It was started
// for a benchmark and ends with it.
type Tool struct {
	Endpoint
	*child.Process
}

// StartTool starts a command line, as a shell reads it, whose standard input and
// output are the endpoint's Input and Output.
func StartTool(name, commandLine string) (*Tool, error) {
	theirInput, input, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	output, theirOutput, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), theirInput.Close(), input.Close())
	}
	// exec, so that the process is the tool's own and not a shell's.
	c, err := child.Start(exec.Command("/bin/sh", "-c", "exec "+commandLine), theirInput, theirOutput)
	closeErr := errors.Join(theirInput.Close(), theirOutput.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), closeErr, input.Close(), output.Close())
	}
	return &Tool{
		Endpoint: Endpoint{
			Service: name, Kind: External, URL: stdioScheme + commandLine, PID: c.ID(),
			Input: input, Output: output,
		},
		Process: c,
	}, nil
}

// Stop closes the tool's input, which asks it to end, and ends it if it does not.
// It returns an error with the end of its standard error if it had failed before.
func (t *Tool) Stop() error {
	closeErr := t.Input.Close()
	if errors.Is(closeErr, os.ErrClosed) {
		closeErr = nil // the driver was done with it
	}
	err := t.Process.Stop(DefaultGrace)
	select {
	case <-t.Exited():
		if t.State().Success() {
			err = nil // it did as it was asked, perhaps before we looked
		}
	default:
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", t.Service, err)
	}
	return errors.Join(err, closeErr, t.Output.(io.Closer).Close())
}
