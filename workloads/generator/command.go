package generator

import (
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/child"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// stopPatience is how long the process may take to end a load that shall stop. A run
// that cleans up what it stored elsewhere has half a minute for that.
const stopPatience = 45 * time.Second

// Command says how the process is started.
type Command struct {
	// Arguments are a program that calls [Serve] with its standard input and output.
	Arguments []string
	// Threads is how many may run at once, 0 for as many as there are CPUs.
	Threads int

	patience time.Duration // 0 is stopPatience
}

// Run makes the load of an assignment in a process that it starts and ends. Instead
// of the assignment's Mark it calls mark, from this goroutine and with the time at
// which each phase began, which is a little in the past; an empty phase is the end of
// the benchmark. The process has no part in the assignment's Record: when that fails,
// the load is stopped and the error returned beside the document.
//
// A process that ends by itself before it has a result is an error with the end of
// its standard error, and no document. What it reported before was recorded.
func (c Command) Run(ctx context.Context, a load.Assignment, mark func(phase string, at metrics.Instant)) (*metrics.Document, error) {
	clock, err := load.NewClock()
	if err != nil {
		return nil, err
	}
	p, err := c.start(a)
	if err != nil {
		return nil, fmt.Errorf("starting the load generator: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	heard := hearing{assignment: a, mark: mark, stop: stop}
	over := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() { p.relay(ctx, over) })
	hearErr := heard.listen(p.output)
	close(over)
	telling.Wait()
	if !heard.ended {
		mark("", clock.Instant(time.Now()))
	}
	if hearErr != nil {
		return nil, errors.Join(heard.refused, p.explain(hearErr), p.release())
	}
	document, runErr := heard.result.values()
	return document, errors.Join(heard.refused, runErr, p.release())
}

// process is a load generator that was started.
type process struct {
	*child.Process
	input, output *os.File
	orders        *gob.Encoder // to input
	patience      time.Duration
}

// start starts the process and gives it its job.
func (c Command) start(a load.Assignment) (*process, error) {
	theirInput, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	output, theirOutput, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirInput.Close(), input.Close())
	}
	cmd := exec.Command(c.Arguments[0], c.Arguments[1:]...)
	given, err := hand(cmd, a)
	if err == nil {
		cmd.Env = c.environment(a)
		p := &process{input: input, output: output, orders: gob.NewEncoder(input), patience: cmp.Or(c.patience, stopPatience)}
		if p.Process, err = child.Start(cmd, theirInput, theirOutput); err == nil {
			// If it has ended already, there will be nothing to hear either.
			_ = p.orders.Encode(order{Job: given})
			return p, errors.Join(theirInput.Close(), theirOutput.Close())
		}
	}
	return nil, errors.Join(err, theirInput.Close(), input.Close(), output.Close(), theirOutput.Close())
}

// hand makes the job of an assignment, and the streams of its services descriptors of
// the command.
func hand(cmd *exec.Cmd, a load.Assignment) (*job, error) {
	j := &job{Name: a.Name, Endpoints: make(map[string]endpoint), Options: a.Options, RequestsFile: a.RequestsFile, Version: a.Version}
	for name, e := range a.Endpoints {
		handed := newEndpoint(e)
		if e.Input != nil {
			input, isFile := e.Input.(*os.File)
			output, isToo := e.Output.(*os.File)
			if !isFile || !isToo {
				return nil, fmt.Errorf("the input and output of %s are not files of the system", name)
			}
			const first = 3 // after the standard ones
			handed.Input, handed.Output = first+len(cmd.ExtraFiles), first+len(cmd.ExtraFiles)+1
			cmd.ExtraFiles = append(cmd.ExtraFiles, input, output)
		}
		j.Endpoints[name] = handed
	}
	return j, nil
}

// environment sets the process's Go runtime up for a load. Its monitor thread is woken
// whenever a request or an answer ends an idle moment, and then looks around every 20
// microseconds for a while: a third of the CPU time of a thousand requests a second.
// With scheduler traces on, however rare, it wakes up by itself a hundred times a
// second instead. It is needed sooner only where system calls block a thread, as those
// on files do.
func (c Command) environment(a load.Assignment) []string {
	settings := os.Environ()
	for _, e := range a.Endpoints {
		if e.Directory != "" {
			return settings
		}
	}
	const trace = "schedtrace=2147483647" // ms, as many as there can be
	settings = append(settings, "GODEBUG="+strings.TrimPrefix(os.Getenv("GODEBUG")+","+trace, ","))
	if c.Threads > 0 {
		settings = append(settings, "GOMAXPROCS="+strconv.Itoa(c.Threads))
	}
	return settings
}

// relay tells the process why to stop, when ctx ends, and kills it if that does not
// help. It returns when the load is over.
func (p *process) relay(ctx context.Context, over <-chan struct{}) {
	select {
	case <-over:
		return
	case <-ctx.Done():
	}
	if p.orders.Encode(order{Stop: context.Cause(ctx).Error()}) != nil {
		return // it has ended
	}
	patience := time.NewTimer(p.patience)
	defer patience.Stop()
	select {
	case <-over:
	case <-patience.C:
		_ = p.End(0) // what it did not say is missed by who listens
	}
}

// release lets go of the process, which ends when its input does.
func (p *process) release() error {
	return errors.Join(p.input.Close(), p.awaitEnd(), p.output.Close())
}

// awaitEnd waits for the process, which is about to end, and kills it if it is not.
func (p *process) awaitEnd() error {
	patience := time.NewTimer(p.patience)
	defer patience.Stop()
	select {
	case <-p.Exited():
		return nil
	case <-patience.C:
		return p.End(0)
	}
}

// explain says how the process ended that has not given a result.
func (p *process) explain(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.Join(err, p.End(0))
		return fmt.Errorf("listening to the load generator: %w%s", err, p.LastWords())
	}
	err = p.awaitEnd()
	return errors.Join(fmt.Errorf("the load generator ended before its benchmark (%v)%s", p.State(), p.LastWords()), err)
}
