package recording

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector"
)

//go:noinline
func openMostSockets(t *testing.T, n int) []int { return openSockets(t, n) }

//go:noinline
func openOtherSockets(t *testing.T, n int) []int { return openSockets(t, n) }

// openSockets leaves the reader of events some time: emulated machines are slow.
func openSockets(t *testing.T, n int) (open []int) {
	for i := range n {
		s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
		if i%8 == 7 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return open
}

// What must hold on every kernel, without a compiler: what two places hold lives, in objects
// of one slab cache, on stacks that name those places.
func TestKernelAllocsOnThisKernel(t *testing.T) {
	const most, other = 420, 180
	rec, sink := startKernelAllocs(t, 1)
	time.Sleep(2 * time.Second) // what this program maps is known then
	opened := append(openMostSockets(t, most), openOtherSockets(t, other)...)
	for i := 0; i < len(opened); i += 2 {
		unix.Close(opened[i])
	}
	time.Sleep(settle)
	summary, err := rec.Stop()
	for i := 1; i < len(opened); i += 2 {
		unix.Close(opened[i])
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	objects := map[string]float64{}
	var sizes [2]float64
	for _, s := range sink.merged(t, collector.KernelAlloc).Sample {
		if s.HasLabel("slab", "sock_inode_cache") && ofProcess(os.Getpid())(s) {
			objects[findFunction(s, []string{"openMostSockets", "openOtherSockets"})] += float64(s.Value[2])
			sizes[0] += float64(s.Value[2])
			sizes[1] += float64(s.Value[3])
		}
	}
	closeTo(t, "sockets of the first place", objects["openMostSockets"], most/2, 0.02)
	closeTo(t, "sockets of the second place", objects["openOtherSockets"], other/2, 0.02)
	closeTo(t, "bytes of a socket", sizes[1]/sizes[0], slabObjectSizes(t)["sock_inode_cache"], 0.001)
	if m := summary.KernelMemory; m == nil || m.Objects < 2*(most+other) || m.Live.Objects < (most+other)/2 {
		t.Errorf("the session says %+v", m)
	}
}

// What interrupts allocate is no process's: it has a stack of the kernel alone, which ends at
// the interrupt, and what threads allocate has none of theirs in it.
func TestKernelAllocsOfInterrupts(t *testing.T) {
	rec, sink := startKernelAllocs(t, 1)
	time.Sleep(time.Second)
	talkToItself(t)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	var interrupts, threads int64
	for _, s := range sink.merged(t, collector.KernelAlloc).Sample {
		entry := ""
		for i, l := range s.Location {
			if l.Mapping == nil || len(l.Line) == 0 {
				continue
			}
			name := l.Line[0].Function.Name
			if strings.HasPrefix(name, "asm_sysvec_") || name == "asm_common_interrupt" {
				entry = name
				if i != len(s.Location)-1 {
					t.Errorf("a stack goes on behind %s", name)
				}
			}
			if s.HasLabel("process", "[interrupt]") && l.Mapping.File != "[kernel.kallsyms]" {
				t.Errorf("an interrupt's stack has %s of %s", name, l.Mapping.File)
			}
		}
		switch {
		case s.HasLabel("process", "[interrupt]"):
			interrupts += s.Value[0]
			if pid := s.NumLabel["pid"]; len(pid) > 0 && pid[0] != 0 {
				t.Errorf("an interrupt is blamed on process %d", pid[0])
			}
		case ofProcess(os.Getpid())(s):
			threads += s.Value[0]
			if entry != "" || findFunction(s, []string{"handle_softirqs", "__do_softirq", "do_softirq"}) != "" {
				t.Errorf("what an interrupt allocated is this process's: %v", s.Label)
			}
		}
	}
	t.Logf("%d allocations by interrupts, %d by this process", interrupts, threads)
	if interrupts == 0 || threads == 0 {
		t.Errorf("%d allocations by interrupts, %d by this process: want some of each", interrupts, threads)
	}
	if s := summary.KernelMemory; s.Live.Samples == 0 {
		t.Errorf("nothing lives: %+v", s)
	}
}

// talkToItself sends some messages through the network of this machine, where interrupts
// receive them.
func talkToItself(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no loopback: ", err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		server, err := listener.Accept()
		if err != nil {
			return
		}
		defer server.Close()
		io.Copy(server, server) // until the other end closes
	}()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 4096)
	for range 500 {
		if _, err := client.Write(message); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, message); err != nil {
			t.Fatal(err)
		}
	}
	client.Close()
	<-done
}

func TestWhoAllocated(t *testing.T) {
	for want, stack := range map[string]string{
		"anon_pipe_write, called by vfs_write, called by ksys_write; for write, called by main": "__alloc_frozen_pages_noprof alloc_pages_mpol alloc_pages_noprof anon_pipe_write vfs_write ksys_write do_syscall_64 entry_SYSCALL_64_after_hwframe write main _start",
		"pte_alloc_one, called by __pte_alloc; for touch":                                       "__alloc_pages pte_alloc_one __pte_alloc asm_exc_page_fault touch",
		"run_workqueue": "kmem_cache_alloc run_workqueue",
		"__kmalloc":     "__kmalloc",
	} {
		if got := whoAllocated(strings.Fields(stack)); got != want {
			t.Errorf("%s is by %q, want %q", stack, got, want)
		}
	}
}
