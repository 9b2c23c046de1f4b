package alloc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/process"
)

// blocksProgram allocates, and frees but for some, by an allocator of its own if it has one.
const blocksProgram = `
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void *blocks[1000];
static void line(void) { char c = 0; while (read(0, &c, 1) == 1 && c != '\n'); }
int main(int argc, char **argv)
{
	int wrong = 0;
	void *volatile p;
	printf("ready\n");
	fflush(stdout);
	line();
	for (int i = 0; i < 1000; i++) {
		blocks[i] = malloc(100 + i);
		wrong += !blocks[i];
	}
	p = realloc(blocks[0], 5000);
	if (realloc(p, (size_t)1 << 62))
		wrong++;
	blocks[0] = p;
	for (int i = 0; i < 1000; i++)
		if (i % 10)
			free(blocks[i]);
	printf("%d\n", wrong);
	fflush(stdout);
	if (argc > 1)
		execl(argv[1], argv[1], (char *)0);
	line();
	return 0;
}
`

// redZone is an allocator in whose functions a probe on the only cheap byte, a 5-byte nop
// between the use of the red zone, would make the kernel's call overwrite the size.
const redZone = `
#include <stddef.h>
static char memory[1 << 24];
static size_t used;
void *from_pool(size_t size) { void *p = &memory[used]; if (size > sizeof(memory) - used) return 0; used += (size + 15) & ~15ul; return p; }
void *realloc(void *old, size_t size) { return from_pool(size); }
void *calloc(size_t n, size_t size) { return from_pool(n * size); }
__asm__(".text\n.globl malloc\n.type malloc,@function\nmalloc:\n"
	"mov %rdi,-8(%rsp)\n.byte 0x0f,0x1f,0x44,0x00,0x00\nmov -8(%rsp),%rdi\nmov $0,%eax\njmp from_pool\n.size malloc,.-malloc\n"
	".globl free\n.type free,@function\nfree:\nmov %rdi,-8(%rsp)\n.byte 0x0f,0x1f,0x44,0x00,0x00\nmov -8(%rsp),%rdi\nret\n.size free,.-free\n");
`

type target struct {
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *bufio.Scanner
}

func (p *target) says(t *testing.T, want string) {
	t.Helper()
	if !p.output.Scan() || p.output.Text() != want {
		t.Fatalf("the program says %q, want %q", p.output.Text(), want)
	}
}

func startTarget(t *testing.T, source string, arguments ...string) *target {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc")
	}
	path := filepath.Join(t.TempDir(), "program")
	build := exec.Command(gcc, "-O1", "-w", "-x", "c", "-o", path, "-")
	build.Stdin = strings.NewReader(source)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return begin(t, exec.Command(path, arguments...))
}

// begin starts a program, and waits until it is ready.
func begin(t *testing.T, cmd *exec.Cmd) *target {
	t.Helper()
	p := &target{cmd: cmd}
	var err error
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.output = bufio.NewScanner(output)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill() // it may have ended
			p.cmd.Wait()
		}
	})
	p.says(t, "ready")
	return p
}

// watch is a watcher with all that it needs.
type watch struct {
	*Watcher
	events   *ringbuf.Reader
	binaries *process.Binaries
}

func startWatch(t *testing.T, sessions bool) watch {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it loads eBPF programs")
	}
	shared, err := core.Load(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shared.Close() })
	binaries := process.NewBinaries()
	t.Cleanup(func() { binaries.Close() })
	w, err := open(shared, 1, Limit{Slowdown: 1e6}, func(pid uint32) (process.Scanned, bool) { return process.ScanOne(pid, binaries) }, sessions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	events, err := ringbuf.NewReader(shared.Events())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { events.Close() })
	return watch{w, events, binaries}
}

// attach probes a process, and waits until that is done or refused.
func (w watch) attach(t *testing.T, p *target) Target {
	t.Helper()
	scanned, ok := process.ScanOne(uint32(p.cmd.Process.Pid), w.binaries)
	if !ok {
		t.Fatal("the target cannot be read")
	}
	w.Attach(uint32(p.cmd.Process.Pid), scanned.Mappings)
	for range 200 {
		for _, target := range w.Targets() {
			if target.Probed && attachedLinks(t, programsOf(t, w)) == 0 {
				t.Error("the kernel lists no link of the probes")
			}
			if target.Probed || target.Detached != nil {
				return target
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the target was not probed")
	return Target{}
}

// taken is the sizes of all allocations in the ring buffer.
func (w watch) taken(t *testing.T) (sizes []uint64) {
	t.Helper()
	if err := w.events.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		record, err := w.events.Read()
		if errors.Is(err, ringbuf.ErrFlushed) {
			return sizes
		}
		if err != nil {
			t.Fatal(err)
		}
		if IsEvent(record.RawSample) {
			e, err := Decode(record.RawSample)
			if err != nil {
				t.Error(err)
			}
			sizes = append(sizes, e.Size)
		}
	}
}

func (w watch) living(t *testing.T) (blocks []Block) {
	t.Helper()
	if err := w.Live(func(b Block) { blocks = append(blocks, b) }); err != nil {
		t.Fatal(err)
	}
	return blocks
}

// TestWatcher follows each block of a program, with the hooks of newer and of older kernels.
func TestWatcher(t *testing.T) {
	for _, sessions := range []bool{true, false} {
		t.Run(fmt.Sprint("sessions ", sessions), func(t *testing.T) {
			w := startWatch(t, sessions)
			t.Log(w.Backend())
			p := startTarget(t, blocksProgram)
			if target := w.attach(t, p); target.Detached != nil {
				t.Fatal(target.Detached)
			}
			fmt.Fprintln(p.input, "go")
			p.says(t, "0")
			if err := w.Stop(); err != nil {
				t.Error(err)
			}
			if err := errors.Join(p.input.Close(), p.cmd.Wait()); err != nil {
				t.Errorf("the target did not survive: %v", err)
			}
			sum, taken := uint64(0), w.taken(t)
			for _, size := range taken {
				sum += size
			}
			if want := uint64(1000*100 + 999*1000/2 + 5000); len(taken) != 1001 || sum != want {
				t.Errorf("%d allocations of %d bytes, want 1001 of %d", len(taken), sum, want)
			}
			live := uint64(0)
			for _, b := range w.living(t) {
				live += b.Size
			}
			// Each tenth, the first of them grown, which could not grow further.
			if want := uint64(100*100 + 10*99*100/2 - 100 + 5000); len(w.living(t)) != 100 || live != want {
				t.Errorf("%d blocks of %d bytes live, want 100 of %d", len(w.living(t)), live, want)
			}
			target := w.Targets()[0]
			if target.Hits != 1000+1+1+900 || target.Returns == 0 || target.Spent == 0 {
				t.Errorf("%+v", target)
			}
		})
	}
}

// TestBusy: of a program that allocates and frees all the time, no more lives than the block
// it has in hand when the probes come or go.
func TestBusy(t *testing.T) {
	w := startWatch(t, true)
	p := startTarget(t, `
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	puts("ready");
	fflush(stdout);
	for (;;) {
		char *volatile block = malloc(100);
		free(block);
	}
}
`)
	w.attach(t, p)
	time.Sleep(100 * time.Millisecond)
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	if live := w.living(t); len(live) > 1 || w.Targets()[0].Hits < 1000 {
		t.Errorf("%d blocks live after %d calls", len(live), w.Targets()[0].Hits)
	}
}

// TestExec: what a program had allocated that gave way to another one does not live.
func TestExec(t *testing.T) {
	w := startWatch(t, true)
	p := startTarget(t, blocksProgram, "/proc/self/exe")
	w.attach(t, p)
	fmt.Fprintln(p.input, "go")
	p.says(t, "0")
	p.says(t, "ready") // it runs anew
	w.Replace(uint32(p.cmd.Process.Pid))
	for range 200 {
		if w.Targets()[0].Detached != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if live := w.living(t); len(live) != 0 || !errors.Is(w.Targets()[0].Detached, ErrGone) {
		t.Errorf("%d blocks live, %v", len(live), w.Targets()[0].Detached)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	p.cmd.Wait() // says that it was killed
	w.Detach(uint32(p.cmd.Process.Pid))
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
}

// TestRedZone: an allocator that a probe on the cheapest byte would break goes on right.
func TestRedZone(t *testing.T) {
	w := startWatch(t, true)
	p := startTarget(t, redZone+blocksProgram)
	target := w.attach(t, p)
	t.Log(target.Sites, target.Detached)
	for _, site := range target.Sites {
		if strings.HasPrefix(site, "malloc +0x5") || strings.HasPrefix(site, "free +0x5") {
			t.Errorf("the probe is on the nop: %s", site)
		}
	}
	fmt.Fprintln(p.input, "go")
	p.says(t, "0")
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	right := 0
	for _, size := range w.taken(t) {
		if size >= 100 && size < 1100 {
			right++
		}
	}
	if target.Detached == nil && right != 1000 {
		t.Errorf("%d of 1000 allocations have their sizes", right)
	}
}

// TestNoAllocator: of what has no allocator that is said.
func TestNoAllocator(t *testing.T) {
	w := startWatch(t, true)
	w.Attach(uint32(os.Getpid()), mappings(t, w.binaries)) // the test itself: a Go program
	time.Sleep(checkInterval)
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	// With C code in it, as the race detector's is, that has probes.
	if got := w.Targets(); len(got) != 1 || !got[0].Go || !got[0].Probed && !errors.Is(got[0].Detached, ErrGo) {
		t.Errorf("%+v", got)
	}
}

func mappings(t *testing.T, binaries *process.Binaries) []process.Mapping {
	t.Helper()
	scanned, ok := process.ScanOne(uint32(os.Getpid()), binaries)
	if !ok {
		t.Fatal("this process cannot be read")
	}
	return scanned.Mappings
}
