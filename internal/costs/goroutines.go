package costs

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/golock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/wait"
)

//go:embed source/goroutines.go.txt
var goroutinesSource []byte

const (
	handoffs      = 200_000 // in a round
	parksAHandoff = 2       // and as many wake-ups
	pacedHandoffs = 400
	pace          = time.Millisecond
	probesWithin  = 5 * time.Second
)

// goroutines measures what probes on Go's scheduler take from a program that does nothing
// but park and wake goroutines, with and without in turns; and what the programs take
// where each wait is recorded, with both its stacks.
func (b *bench) goroutines(ctx context.Context) (err error) {
	program, err := startHandoffs(ctx, b.config.Dir)
	if err != nil {
		b.table.skip("a goroutine's park and wake-up", err)
		return nil
	}
	defer func() { err = errors.Join(err, program.end()) }()
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return fmt.Errorf("turning on eBPF run-time statistics: %w", err)
	}
	defer func() { err = errors.Join(err, stats.Close()) }()
	w, err := watchGoroutines()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var bare, added []float64
	for round := range rounds {
		var ns [2]float64
		for i := range ns {
			probed := i != round&1
			if err := w.probe(program.cmd.Process.Pid, probed); err != nil {
				return err
			}
			if ns[b2i(probed)], err = program.run(handoffs, 0); err != nil {
				return err
			}
		}
		bare = append(bare, ns[0]/parksAHandoff)
		added = append(added, (ns[1]-ns[0])/parksAHandoff)
	}
	b.table.add("a goroutine's park and wake-up, bare", "ns", Median(bare))
	b.table.add("what two probes add to it, in a program that does nothing else", "ns", Median(added))
	recorded, err := w.recorded(program)
	if err != nil {
		return err
	}
	b.table.add("eBPF programs, one recorded wait of a goroutine and its two stacks", "ns", recorded)
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// handoffProgram is the running target.
type handoffProgram struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Scanner
}

func startHandoffs(ctx context.Context, dir string) (*handoffProgram, error) {
	source, path := filepath.Join(dir, "goroutines.go"), filepath.Join(dir, "goroutines")
	if err := os.WriteFile(source, goroutinesSource, 0o600); err != nil {
		return nil, fmt.Errorf("compiling the target: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling the target: %w\n%s", err, out)
	}
	return startProgram(ctx, path)
}

// startProgram starts a target that is told what to do, a line each time.
func startProgram(ctx context.Context, path string) (*handoffProgram, error) {
	p := &handoffProgram{cmd: exec.CommandContext(ctx, path)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.orders, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the target: %w", err)
	}
	answers, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the target: %w", err)
	}
	p.answers = bufio.NewScanner(answers)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the target: %w", err)
	}
	return p, nil
}

// run has the token handed so often, and returns what one time took in ns.
func (p *handoffProgram) run(times int, pause time.Duration) (ns float64, err error) {
	if _, err := fmt.Fprintln(p.orders, times, pause.Nanoseconds()); err != nil {
		return 0, fmt.Errorf("telling the target what to do: %w", err)
	}
	if !p.answers.Scan() {
		return 0, errors.Join(errors.New("the target ended"), p.answers.Err())
	}
	if _, err := fmt.Sscan(strings.TrimSpace(p.answers.Text()), &ns); err != nil {
		return 0, fmt.Errorf("reading what the target says: %w", err)
	}
	return ns, nil
}

func (p *handoffProgram) end() error { return errors.Join(p.orders.Close(), p.cmd.Wait()) }

// goroutineWatch is the probes, and who reads what they send.
type goroutineWatch struct {
	shared    *core.Core
	unwinding *unwinding
	watcher   *golock.Watcher
	reader    *ringbuf.Reader
	done      sync.WaitGroup
	probes    int  // how often a process was probed so far
	on        bool // whether one is

	mu     sync.Mutex
	events int // waits that were recorded
}

func watchGoroutines() (*goroutineWatch, error) {
	w := &goroutineWatch{}
	var err error
	if w.shared, err = core.Load(0); err != nil {
		return nil, err
	}
	if w.unwinding, err = openUnwinding(w.shared); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if w.watcher, err = golock.Open(w.shared, golock.Limit{Slowdown: 1e9}); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if w.reader, err = ringbuf.NewReader(w.shared.Events()); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the ring buffer: %w", err), w.close())
	}
	w.done.Go(w.read)
	return w, nil
}

func (w *goroutineWatch) read() {
	var record ringbuf.Record
	for {
		w.reader.SetDeadline(time.Now().Add(100 * time.Millisecond))
		switch err := w.reader.ReadInto(&record); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil:
			return
		}
		if _, err := golock.Decode(record.RawSample); err == nil && golock.IsEvent(record.RawSample) {
			w.mu.Lock()
			w.events++
			w.mu.Unlock()
		} else if stack, err := wait.DecodeStack(record.RawSample); err == nil {
			w.unwinding.missed(stack.Walked)
		}
	}
}

func (w *goroutineWatch) close() error {
	var failures []error
	if w.watcher != nil {
		failures = append(failures, w.watcher.Close())
	}
	if w.reader != nil {
		failures = append(failures, w.reader.Close())
		w.done.Wait()
	}
	if w.unwinding != nil {
		failures = append(failures, w.unwinding.close())
	}
	return errors.Join(append(failures, w.shared.Close())...)
}

// probe sets or takes away the probes of a process, and returns when it is done.
func (w *goroutineWatch) probe(pid int, on bool) error {
	if on == w.on {
		return nil
	}
	w.on = on
	if !on {
		w.watcher.Detach(uint32(pid))
		return w.until(func(all []golock.Target) bool { return len(all) == w.probes && !hasProbes(all) })
	}
	scanned, ok := process.ScanOne(uint32(pid), w.unwinding.binaries)
	if !ok {
		return fmt.Errorf("process %d cannot be read", pid)
	}
	w.watcher.Attach(uint32(pid), scanned.Mappings)
	w.probes++
	return w.until(func(all []golock.Target) bool { return len(all) == w.probes && hasProbes(all) })
}

func hasProbes(all []golock.Target) bool {
	return len(all) > 0 && all[len(all)-1].Probed && all[len(all)-1].Detached == nil
}

func (w *goroutineWatch) until(done func([]golock.Target) bool) error {
	for end := time.Now().Add(probesWithin); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if done(w.watcher.Targets()) {
			return nil
		}
	}
	return fmt.Errorf("probes were not set or taken away in %v: %+v", probesWithin, w.watcher.Targets())
}

// recorded measures the programs where each wait is sent.
func (w *goroutineWatch) recorded(program *handoffProgram) (Estimate, error) {
	if err := w.probe(program.cmd.Process.Pid, true); err != nil {
		return Estimate{}, err
	}
	var perWait []float64
	for round := range rounds + 1 {
		w.mu.Lock()
		events := w.events
		w.mu.Unlock()
		_, before, err := w.watcher.Cost()
		if err != nil {
			return Estimate{}, err
		}
		if _, err := program.run(pacedHandoffs, pace); err != nil {
			return Estimate{}, err
		}
		time.Sleep(200 * time.Millisecond) // until the reader has them
		_, after, err := w.watcher.Cost()
		if err != nil {
			return Estimate{}, err
		}
		w.mu.Lock()
		events = w.events - events
		w.mu.Unlock()
		if round > 0 && events > 0 { // the first loads the tables
			perWait = append(perWait, float64(after-before)/float64(events))
		}
	}
	return Median(perWait), nil
}
