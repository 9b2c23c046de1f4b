package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/child"
)

// What a Command that leaves them zero stands for.
const (
	DefaultReadyTimeout = 30 * time.Second
	DefaultGrace        = 5 * time.Second
)

// Command says how a reference service is started.
type Command struct {
	// Service is the name that the process must announce.
	Service string
	// Arguments are the program and its arguments. The program prints one JSON
	// line on its standard output once it listens:
	//
	//	{"service":"ryot","url":"http://127.0.0.1:PORT","pid":N,"model":"..."}
	Arguments []string
	// Planted is the bottleneck that the arguments ask for, as the endpoint tells it.
	Planted string
	// ReadyTimeout bounds the time until that line, Grace the time between the
	// request to end and the kill.
	ReadyTimeout time.Duration
	Grace        time.Duration
}

// Process is a reference service that was started.
type Process struct {
	Endpoint
	*child.Process
	command Command
	ready   firstLine
}

// announcement is the ready line.
type announcement struct {
	Service string `json:"service"`
	URL     string `json:"url"`
	PID     int    `json:"pid"`
	Model   string `json:"model"`
}

// Start runs the command and returns when it is ready. Ctx bounds the start
// only; a service that runs is ended with Stop. If this process dies first, the
// kernel kills the service. An error carries the end of the service's standard
// error.
func Start(ctx context.Context, command Command) (*Process, error) {
	if len(command.Arguments) == 0 {
		return nil, fmt.Errorf("starting the reference service %s: no command for it", command.Service)
	}
	if command.ReadyTimeout == 0 {
		command.ReadyTimeout = DefaultReadyTimeout
	}
	if command.Grace == 0 {
		command.Grace = DefaultGrace
	}
	p := &Process{command: command, ready: firstLine{line: make(chan []byte, 1)}}
	var err error
	if p.Process, err = child.Start(exec.Command(command.Arguments[0], command.Arguments[1:]...), nil, &p.ready); err != nil {
		return nil, fmt.Errorf("starting the reference service %s: %w", command.Service, err)
	}
	if err := p.awaitReady(ctx); err != nil {
		return nil, fmt.Errorf("starting the reference service %s: %w%s", command.Service, errors.Join(err, p.End(0)), p.LastWords())
	}
	return p, nil
}

func (p *Process) awaitReady(ctx context.Context) error {
	late := time.NewTimer(p.command.ReadyTimeout)
	defer late.Stop()
	select {
	case line := <-p.ready.line:
		return p.announced(line)
	case <-p.Exited():
		return fmt.Errorf("it ended before it was ready (%v)", p.State())
	case <-late.C:
		return fmt.Errorf("it was not ready after %v", p.command.ReadyTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// announced checks the ready line and takes it into the endpoint.
func (p *Process) announced(line []byte) error {
	var said announcement
	if err := json.Unmarshal(line, &said); err != nil {
		return fmt.Errorf("its first line %.200q is no announcement: %w", line, err)
	}
	address, err := url.Parse(said.URL)
	if err != nil || address.Scheme != "http" {
		return fmt.Errorf("it announced the address %.200q", said.URL)
	}
	ip := net.ParseIP(address.Hostname())
	if said.Service != p.command.Service || said.PID <= 0 || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("it announced service %.50q at %.200q with pid %d, want %s on a loopback address", said.Service, said.URL, said.PID, p.command.Service)
	}
	p.Endpoint = Endpoint{Service: said.Service, Kind: Reference, URL: strings.TrimSuffix(address.String(), "/"), PID: said.PID, Model: child.Printable(said.Model), Planted: p.command.Planted}
	return nil
}

// Stop ends the service: SIGTERM, and SIGKILL after the grace. It returns an
// error with the end of its standard error if the service had ended by itself
// before.
func (p *Process) Stop() error {
	if err := p.Process.Stop(p.command.Grace); err != nil {
		return fmt.Errorf("the reference service %s: %w", p.Service, err)
	}
	return nil
}

// firstLine is a writer that gives the first line away and drops the rest.
type firstLine struct {
	mutex sync.Mutex
	begun []byte
	done  bool
	line  chan []byte
}

// maxReadyLine bounds the ready line, in bytes.
const maxReadyLine = 16 << 10

func (f *firstLine) Write(p []byte) (int, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.done {
		return len(p), nil
	}
	line, _, whole := strings.Cut(string(p), "\n")
	f.begun = append(f.begun, line...)
	if whole || len(f.begun) > maxReadyLine {
		f.done = true
		f.line <- f.begun[:min(len(f.begun), maxReadyLine)]
	}
	return len(p), nil
}
