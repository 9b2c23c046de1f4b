package costs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
)

const (
	walkRounds = 20
	walkRuns   = 2000 // in a round
)

// The programs of bpf/probe.bpf.c, in the order in which a prober is given them.
var probePrograms = []string{"probe_request", "probe_nothing", "probe_walk"}

// walks measures the walk alone, by a program that the thread itself asks for: with
// warm caches, and without the interrupt and the event.
func (b *bench) walks(ctx context.Context) (err error) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return fmt.Errorf("turning on eBPF run-time statistics: %w", err)
	}
	defer func() { err = errors.Join(err, stats.Close()) }()
	shared, err := core.Load(0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shared.Close()) }()
	spec, err := bpf.LoadProbe()
	if err != nil {
		return fmt.Errorf("reading the probes: %w", err)
	}
	programs, err := shared.LoadPrograms(spec)
	if err != nil {
		return fmt.Errorf("loading the probes: %w", err)
	}
	defer func() {
		for _, p := range programs {
			err = errors.Join(err, p.Close())
		}
	}()
	for _, depth := range []int{8, 30, 100} {
		cost, frames, err := b.walk(ctx, shared, programs, depth)
		if err != nil {
			return err
		}
		b.table.add(fmt.Sprintf("the walk alone, %d frames, caches warm", frames), "ns", cost)
	}
	return nil
}

// walk measures the stack of one depth: the runs of the program that walks, less those
// of the program that does all but that.
func (b *bench) walk(ctx context.Context, shared *core.Core, programs map[string]*ebpf.Program, depth int) (cost Estimate, frames int, err error) {
	p, err := b.startProber(ctx, programs, depth)
	if err != nil {
		return cost, 0, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	frames, err = p.prepare(shared)
	if err != nil {
		return cost, 0, err
	}
	var nothing, walk []float64
	for range walkRounds {
		for i, costs := range []*[]float64{1: &nothing, 2: &walk} {
			if costs == nil {
				continue
			}
			ns, err := p.measure(programs[probePrograms[i]], i)
			if err != nil {
				return cost, 0, err
			}
			*costs = append(*costs, ns)
		}
	}
	base := math.Inf(1)
	for _, ns := range nothing {
		base = min(base, ns)
	}
	for i := range walk {
		walk[i] -= base
	}
	return Median(walk), frames, nil
}

// prober is a target that has programs run on its stack when it is told to.
type prober struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
}

func (b *bench) startProber(ctx context.Context, programs map[string]*ebpf.Program, depth int) (*prober, error) {
	p := &prober{cmd: exec.CommandContext(ctx, b.target.path, strconv.Itoa(b.target.cpus[0]), strconv.Itoa(depth), "probe")}
	p.cmd.Stderr = os.Stderr
	for _, name := range probePrograms {
		fd, err := unix.Dup(programs[name].FD())
		if err != nil {
			return nil, fmt.Errorf("giving the target a program: %w", err)
		}
		file := os.NewFile(uintptr(fd), name)
		defer file.Close()
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, file)
	}
	var err error
	if p.orders, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the target: %w", err)
	}
	answers, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the target: %w", err)
	}
	p.answers = bufio.NewReader(answers)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the target: %w", err)
	}
	return p, nil
}

// run has a program run so many times.
func (p *prober) run(program, times int) error {
	const firstFile = 3 // of exec.Cmd.ExtraFiles
	if _, err := fmt.Fprintln(p.orders, firstFile+program, times); err != nil {
		return fmt.Errorf("ordering probes: %w", err)
	}
	if answer, err := p.answers.ReadString('\n'); err != nil || answer != "done\n" {
		return fmt.Errorf("probing: the target said %q: %w", answer, err)
	}
	return nil
}

// measure returns ns a run.
func (p *prober) measure(program *ebpf.Program, number int) (float64, error) {
	before, err := program.Stats()
	if err != nil {
		return 0, fmt.Errorf("reading a probe's run time: %w", err)
	}
	if err := p.run(number, walkRuns); err != nil {
		return 0, err
	}
	after, err := program.Stats()
	if err != nil {
		return 0, fmt.Errorf("reading a probe's run time: %w", err)
	}
	return float64(after.Runtime-before.Runtime) / float64(after.RunCount-before.RunCount), nil
}

// prepare walks until the kernel has what it needs for the whole stack, and returns
// how deep that is.
func (p *prober) prepare(shared *core.Core) (frames int, err error) {
	if err := p.run(1, 1); err != nil { // it has started when it answers
		return 0, err
	}
	u, err := openUnwinding(shared)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, u.close()) }()
	events, err := ringbuf.NewReader(shared.Events())
	if err != nil {
		return 0, fmt.Errorf("opening the ring buffer: %w", err)
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if err := p.run(0, 1); err != nil {
			return 0, err
		}
		events.SetDeadline(time.Now().Add(20 * time.Millisecond))
		for {
			record, err := events.Read()
			if err != nil {
				break // no more
			}
			s, ok := probed(record.RawSample)
			if !ok || s.Process.PID != uint32(p.cmd.Process.Pid) {
				continue
			}
			if s.End == bpf.CoreUnwindEndUNWIND_COMPLETE {
				return s.Frames, nil
			}
			u.missed(s.Walked)
		}
	}
	return 0, errors.New("the target's stack could not be walked to its root")
}

type probe struct {
	unwind.Walked
	Frames int
}

// probed reads an event of the probes; false for others.
func probed(record []byte) (probe, bool) {
	var e bpf.ProbeProbeStack
	if len(record) < int(unsafe.Offsetof(e.Stack.Frames)) {
		return probe{}, false
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e)), record)
	if e.Header.Kind != uint32(bpf.CoreEventKindEVENT_PROBE_STACK) {
		return probe{}, false
	}
	return probe{unwind.Walked{
		Process: process.Identity{PID: e.Thread.Tgid, Start: e.Thread.ProcessStart, Generation: e.Thread.ExecGeneration},
		Time:    e.Header.Time, End: bpf.CoreUnwindEnd(e.Stack.Unwind), File: e.Stack.File,
	}, int(e.Stack.UserFrames)}, true
}

// end lets the target end.
func (p *prober) end() error {
	if err := errors.Join(p.orders.Close(), p.cmd.Wait()); err != nil {
		return fmt.Errorf("ending the target: %w", err)
	}
	return nil
}
