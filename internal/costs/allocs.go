package costs

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/alloc"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/uprobesession"
	"github.com/narrows-profiler/narrows/collector/wait"
)

//go:embed source/pairs.c
var pairsSource []byte

const (
	allocRounds = 8
	bareTimes   = 5_000_000 // of malloc and free, without probes
	probedTimes = 100_000   // with them
	peerStarts  = 4 * time.Second
)

// allocs measures what probes at an allocator take from a program that does nothing but
// allocate and free, in turns with programs that do nothing at the same bytes, and with the
// tools that are installed.
func (b *bench) allocs(ctx context.Context) (err error) {
	program, err := startPairs(ctx, b.config.Dir)
	if err != nil {
		b.table.skip("a pair of malloc and free", err)
		return nil
	}
	defer func() { err = errors.Join(err, program.end()) }()
	pid := program.cmd.Process.Pid
	if _, err := program.run(bareTimes, 0); err != nil {
		return err
	}
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return fmt.Errorf("turning on eBPF run-time statistics: %w", err)
	}
	defer func() { err = errors.Join(err, stats.Close()) }()
	type condition struct {
		name  string
		times int
		begin func() (end func() error, err error)
	}
	conditions := []condition{
		{"bare", bareTimes, func() (func() error, error) { return func() error { return nil }, nil }},
		{"with empty programs at malloc and free, as Narrows attaches its own", probedTimes, func() (func() error, error) { return emptySessions(pid) }},
		{"with Narrows, an allocation for each 512 KB", probedTimes, func() (func() error, error) { return watchAllocs(pid, 512<<10) }},
		{"with Narrows, every allocation with its stack", probedTimes, func() (func() error, error) { return watchAllocs(pid, 1) }},
		{"with empty programs at malloc, its return and free, by perf events", probedTimes, func() (func() error, error) { return emptyProbes(pid) }},
	}
	for _, peer := range allocPeers(pid) {
		if path, err := exec.LookPath(peer.command[0]); err != nil {
			b.table.skip("a pair of malloc and free with "+peer.name, err)
		} else {
			peer.command[0] = path
			conditions = append(conditions, condition{"with " + peer.name, probedTimes, func() (func() error, error) { return startPeer(ctx, peer.command) }})
		}
	}
	measured := make([][]float64, len(conditions))
	for range allocRounds {
		for i, c := range conditions {
			end, err := c.begin()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			ns, err := program.run(c.times, 0)
			if err = errors.Join(err, end(), ctx.Err()); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			measured[i] = append(measured[i], ns)
		}
	}
	for i, c := range conditions {
		b.table.add("a pair of malloc and free, "+c.name, "ns", Median(measured[i]))
	}
	var above []float64
	for round := range measured[1] {
		above = append(above, measured[2][round]-measured[1][round])
	}
	b.table.add("Narrows, an allocation for each 512 KB, less empty programs", "ns", Median(above))
	return nil
}

func startPairs(ctx context.Context, dir string) (*handoffProgram, error) {
	source, path := filepath.Join(dir, "pairs.c"), filepath.Join(dir, "pairs")
	if err := os.WriteFile(source, pairsSource, 0o600); err != nil {
		return nil, fmt.Errorf("compiling the target: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "gcc", "-O1", "-o", path, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling the target: %w\n%s", err, out)
	}
	return startProgram(ctx, path)
}

// emptyProbes puts programs that do nothing at malloc, its return and free.
func emptyProbes(pid int) (end func() error, err error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Kprobe, License: "Dual BSD/GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return nil, err
	}
	end = program.Close
	binaries := process.NewBinaries()
	defer func() { err = errors.Join(err, binaries.Close()) }()
	scanned, _ := process.ScanOne(uint32(pid), binaries)
	for _, m := range scanned.Mappings {
		places, err := alloc.Places(m.Binary)
		if err != nil {
			continue // no allocator
		}
		executable, err := link.OpenExecutable(m.Binary.Path)
		if err != nil {
			return end, err
		}
		for _, at := range []struct {
			name string
			set  func(string, *ebpf.Program, *link.UprobeOptions) (link.Link, error)
		}{{"malloc", executable.Uretprobe}, {"malloc", executable.Uprobe}, {"free", executable.Uprobe}} {
			set, err := at.set(at.name, program, &link.UprobeOptions{Address: places[at.name], PID: pid})
			if err != nil {
				return end, err
			}
			before := end
			end = func() error { return errors.Join(set.Close(), before()) }
		}
		return end, nil
	}
	return end, errors.New("the target has no allocator")
}

// emptySessions puts a program that does nothing at the places where Narrows has its own, by the same
// kind of hook. It does not run at returns, as that of Narrows does not for what is not taken.
func emptySessions(pid int) (end func() error, err error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Kprobe, AttachType: uprobesession.AttachType, License: "Dual BSD/GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		return nil, err
	}
	binaries := process.NewBinaries()
	defer func() { err = errors.Join(err, binaries.Close()) }()
	scanned, _ := process.ScanOne(uint32(pid), binaries)
	for _, m := range scanned.Mappings {
		places, err := alloc.Places(m.Binary)
		if err != nil {
			continue // no allocator
		}
		offsets := slices.Sorted(maps.Values(places))
		attached, err := uprobesession.Attach(program.FD(), m.Binary.Path, uint32(pid), offsets, make([]uint64, len(offsets)))
		if err != nil {
			return program.Close, err
		}
		return func() error { return errors.Join(attached.Close(), program.Close()) }, nil
	}
	return program.Close, errors.New("the target has no allocator")
}

// watchAllocs watches the process as a recording does.
func watchAllocs(pid int, mean uint64) (end func() error, err error) {
	var closers []func() error
	end = func() (err error) {
		for i := range closers {
			err = errors.Join(err, closers[len(closers)-1-i]())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, end())
		}
	}()
	shared, err := core.Load(0)
	if err != nil {
		return nil, err
	}
	closers = append(closers, shared.Close)
	u, err := openUnwinding(shared)
	if err != nil {
		return nil, err
	}
	closers = append(closers, u.close)
	w, err := alloc.Open(shared, mean, alloc.Limit{Slowdown: 1e9}, func(pid uint32) (process.Scanned, bool) { return process.ScanOne(pid, u.binaries) })
	if err != nil {
		return nil, err
	}
	events, err := ringbuf.NewReader(shared.Events())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the ring buffer: %w", err), w.Close())
	}
	var reader sync.WaitGroup
	reader.Go(func() { readAllocs(events, u) })
	closers = append(closers, func() error {
		err := errors.Join(w.Close(), events.Flush())
		reader.Wait()
		return errors.Join(err, events.Close())
	})
	prepared := make(chan bool)
	u.tracker.Prepare(uint32(pid), func() { close(prepared) })
	u.tracker.Apply(u.tracker.Begin(), nil)
	<-prepared
	scanned, ok := process.ScanOne(uint32(pid), u.binaries)
	if !ok {
		return nil, fmt.Errorf("process %d cannot be read", pid)
	}
	w.Attach(uint32(pid), scanned.Mappings)
	for begun := time.Now(); time.Since(begun) < probesWithin; time.Sleep(5 * time.Millisecond) {
		if all := w.Targets(); len(all) > 0 && all[0].Probed {
			return end, nil
		}
	}
	return nil, fmt.Errorf("probes were not set in %v: %+v", probesWithin, w.Targets())
}

// readAllocs empties the ring buffer until it is flushed.
func readAllocs(events *ringbuf.Reader, u *unwinding) {
	var record ringbuf.Record
	for {
		events.SetDeadline(time.Now().Add(100 * time.Millisecond))
		switch err := events.ReadInto(&record); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil:
			return
		}
		const kind = 8 // of struct event_header
		switch bpf.CoreEventKind(binary.NativeEndian.Uint32(record.RawSample[kind:])) {
		case bpf.CoreEventKindEVENT_ALLOC:
			_, _ = alloc.Decode(record.RawSample) // as a recording does, whatever it says
		case bpf.CoreEventKindEVENT_STACK:
			if s, err := wait.DecodeStack(record.RawSample); err == nil {
				u.missed(s.Walked)
			}
		}
	}
}

type allocPeer struct {
	name    string
	command []string
}

// allocPeers are tools that tell of allocations.
func allocPeers(pid int) []allocPeer {
	const script = `uprobe:libc:malloc { @[ustack] = sum(arg0); }`
	return []allocPeer{
		{"a bpftrace one-liner, bytes by stack at malloc alone", []string{"bpftrace", "-p", fmt.Sprint(pid), "-e", script}},
		{"memleak of bcc", []string{"memleak", "-p", fmt.Sprint(pid), "3600"}},
		{"memleak of bcc, in Python", []string{"memleak-bpfcc", "-p", fmt.Sprint(pid), "3600"}},
	}
}

// startPeer starts a tool, and gives it time to compile its programs and to attach them.
func startPeer(ctx context.Context, command []string) (end func() error, err error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	time.Sleep(peerStarts)
	return func() error {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			return fmt.Errorf("%s ended early: %w", command[0], err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) { // some say that they were interrupted
			return err
		}
		return nil
	}, nil
}
