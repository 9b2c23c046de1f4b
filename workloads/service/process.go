package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
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
	// ReadyTimeout bounds the time until that line, Grace the time between the
	// request to end and the kill.
	ReadyTimeout time.Duration
	Grace        time.Duration
}

// Process is a reference service that was started.
type Process struct {
	Endpoint
	command Command
	cmd     *exec.Cmd
	stderr  tail
	ready   firstLine
	exited  chan struct{}
	waitErr error
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
	p := &Process{command: command, exited: make(chan struct{}), ready: firstLine{line: make(chan []byte, 1)}}
	p.cmd = exec.Command(command.Arguments[0], command.Arguments[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = &p.ready, &p.stderr
	// Its own process group keeps a terminal's Ctrl-C, which ends a recording
	// and keeps it, from ending the service under the recording's hands.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	// A grandchild that keeps the pipes open must not keep Wait.
	p.cmd.WaitDelay = time.Second
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the reference service %s: %w", command.Service, err)
	}
	if err := p.awaitReady(ctx); err != nil {
		return nil, fmt.Errorf("starting the reference service %s: %w%s", command.Service, errors.Join(err, p.end(0)), p.lastWords())
	}
	return p, nil
}

// run starts the process and waits for it on one thread: the kernel sends the
// parent-death signal when the thread that forked ends, and Go ends idle threads.
func (p *Process) run(started chan<- error) {
	defer close(p.exited)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.waitErr = p.cmd.Wait()
	}
}

func (p *Process) awaitReady(ctx context.Context) error {
	late := time.NewTimer(p.command.ReadyTimeout)
	defer late.Stop()
	select {
	case line := <-p.ready.line:
		return p.announced(line)
	case <-p.exited:
		return fmt.Errorf("it ended before it was ready (%v)", p.cmd.ProcessState)
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
	p.Endpoint = Endpoint{Service: said.Service, Kind: Reference, URL: strings.TrimSuffix(address.String(), "/"), PID: said.PID, Model: printable(said.Model)}
	return nil
}

// Exited is closed when the process has ended, by itself or by Stop.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Stop ends the service: SIGTERM, and SIGKILL after the grace. It returns an
// error with the end of its standard error if the service had ended by itself
// before.
func (p *Process) Stop() error {
	select {
	case <-p.exited:
		return fmt.Errorf("the reference service %s ended by itself (%v)%s", p.Service, p.cmd.ProcessState, p.lastWords())
	default:
	}
	if err := p.end(p.command.Grace); err != nil {
		return fmt.Errorf("stopping the reference service %s: %w", p.Service, err)
	}
	return nil
}

// end signals the process and waits for it; without grace it is killed at once.
// It is reaped by run alone, so its PID cannot have been given to another.
func (p *Process) end(grace time.Duration) error {
	if grace > 0 {
		if err := p.signal(syscall.SIGTERM); err != nil {
			return err
		}
		patience := time.NewTimer(grace)
		defer patience.Stop()
		select {
		case <-p.exited:
			return nil
		case <-patience.C:
		}
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

// signal sends a signal unless the process has ended; os.Process serialises it
// with the reaping.
func (p *Process) signal(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to process %d: %w", signal, p.cmd.Process.Pid, err)
	}
	return nil
}

func (p *Process) lastWords() string {
	words := p.stderr.text()
	if words == "" {
		return "; it wrote nothing to its standard error"
	}
	return "; the end of its standard error:\n" + words
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
