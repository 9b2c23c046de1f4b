package kerneltest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/narrows-profiler/narrows/internal/kerneltest/guest"
)

// emulator is the program that the machines run in.
const emulator = "qemu-system-x86_64"

// kernelArguments: messages from warnings on go to the first serial line; a panic, to which an oops is raised, restarts at once, which -no-reboot turns into qemu's end.
// Without mitigations emulation is a little faster, and nothing that is tested differs.
const kernelArguments = "console=ttyS0 loglevel=5 panic=-1 oops=panic mitigations=off random.trust_cpu=on"

const (
	longestEvent  = 1 << 20          // bytes of one line from the machine
	powerOffGrace = 30 * time.Second // from the last event to qemu's end
	outputGrace   = 10 * time.Second // for a wrapper's children that hold qemu's standard error open
	consoleTail   = 40               // lines shown of a machine that failed
)

// machine is one emulated computer that has not run yet.
type machine struct {
	vmlinuz, initrd, console string // files; console is written
	memoryMiB, processors    int
	silence                  time.Duration
}

// arguments returns qemu's command line. The second serial line, which carries the events, is qemu's standard output. Both processors are emulated by one thread in turn: with a
// thread each, qemu 7.2 now and then executes a breakpoint that the other processor has already removed from the kernel's code, and attaching programs patches that code all the time.
// (The kernel then panics with "Oops: int3", in 1 of 20 boots of 6.12.)
func (m machine) arguments() []string {
	return []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-accel", "tcg,thread=single", "-cpu", "max", "-smp", strconv.Itoa(m.processors), "-m", strconv.Itoa(m.memoryMiB) + "M",
		"-kernel", m.vmlinuz, "-initrd", m.initrd, "-append", kernelArguments,
		"-serial", "file:" + m.console, "-serial", "stdio",
	}
}

// run boots the machine and calls handle with each event in turn. It returns nil once the machine has said Done and its power is off. Otherwise the error says how the machine
// failed, with the last lines of its console. The emulator never outlives run, nor this process.
func (m machine) run(ctx context.Context, handle func(guest.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The kernel sends Pdeathsig when the thread that started the child ends, so this goroutine keeps its thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, emulator, m.arguments()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = outputGrace
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stream, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting %s: %w", emulator, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", emulator, err)
	}
	watchdog := time.AfterFunc(m.silence, func() { cancel(fmt.Errorf("it said nothing for %v: its kernel or its init hangs", m.silence)) })
	defer watchdog.Stop()

	seen := events{silence: m.silence, watchdog: watchdog}
	read := seen.read(stream, handle)
	if read != nil {
		cancel(read)
	}
	ended := cmd.Wait()
	if seen.done && read == nil {
		return nil
	}
	switch cause := context.Cause(ctx); {
	case cause != nil:
		err = cause
	case ended != nil:
		err = fmt.Errorf("%s: %w: %s", emulator, ended, bytes.TrimSpace(complaints.Bytes()))
	case !seen.up:
		err = errors.New("it stopped before its init reported")
	default:
		err = errors.New("it stopped before its tests had ended")
	}
	text, unreadable := os.ReadFile(m.console)
	if unreadable != nil {
		return fmt.Errorf("%w\n(its console cannot be read: %w)", err, unreadable)
	}
	if why := panicReason(string(text)); why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	return fmt.Errorf("%w\nthe end of its console:\n%s", err, tail(string(text), consoleTail))
}

// events reads the machine's second serial line.
type events struct {
	silence  time.Duration
	watchdog *time.Timer
	up, done bool
}

// read hands on each event and winds up the watchdog, until the stream ends.
func (e *events) read(stream io.Reader, handle func(guest.Event) error) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(make([]byte, 0, 64<<10), longestEvent)
	for lines.Scan() {
		var event guest.Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return fmt.Errorf("its init sent what is no event: %.200q", lines.Text())
		}
		e.watchdog.Reset(e.silence)
		switch event.Kind {
		case guest.Up:
			e.up = true
		case guest.Done:
			e.done = true
			e.watchdog.Reset(powerOffGrace)
		}
		if err := handle(event); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading its events: %w", err)
	}
	return nil
}

// panicReason returns the first kernel panic's message in a console's text, or nothing.
func panicReason(text string) string {
	_, panicked, found := strings.Cut(text, "Kernel panic")
	if !found {
		return ""
	}
	line, _, _ := strings.Cut(panicked, "\n")
	return "Kernel panic" + strings.TrimRight(line, "\r")
}

// tail returns the last n lines of a console's text, indented.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "\r", "")), "\n")
	return "    " + strings.Join(lines[max(0, len(lines)-n):], "\n    ")
}
