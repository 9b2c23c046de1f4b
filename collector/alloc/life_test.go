package alloc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/collector/process"
)

// programsOf are the kernel's numbers of the programs that a watcher attaches.
func programsOf(t *testing.T, w watch) map[ebpf.ProgramID]bool {
	t.Helper()
	ids := map[ebpf.ProgramID]bool{}
	for _, p := range []*ebpf.Program{w.session, w.objects.Enter, w.objects.Leave} {
		if p == nil {
			continue
		}
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := info.ID(); ok {
			ids[id] = true
		}
	}
	if len(ids) == 0 {
		t.Fatal("no program has a number")
	}
	return ids
}

// attachedLinks counts the kernel's links of these programs.
func attachedLinks(t *testing.T, programs map[ebpf.ProgramID]bool) int {
	t.Helper()
	for {
		n, err := countLinks(programs)
		if err == nil {
			return n
		}
		if !errors.Is(err, syscall.EAGAIN) { // one is being made, by whomever
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func countLinks(programs map[ebpf.ProgramID]bool) (n int, err error) {
	var links link.Iterator
	defer links.Close()
	for links.Next() {
		info, err := links.Link.Info()
		if err != nil {
			return 0, err
		}
		if programs[info.Program] {
			n++
		}
	}
	return n, links.Err()
}

// stopped ends a watcher, after which nothing of it may be left in the kernel.
func (w watch) stopped(t *testing.T) {
	t.Helper()
	programs := programsOf(t, w)
	if err := w.Stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if n := attachedLinks(t, programs); n != 0 {
		t.Errorf("%d links are left", n)
	}
	for _, folder := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		events, err := os.ReadFile(filepath.Join(folder, "uprobe_events"))
		if err == nil && strings.Contains(string(events), "malloc") {
			t.Errorf("left in %s: %s", folder, events)
		}
	}
}

// changedCode counts the bytes of executable mappings of files that are not as in the file.
func changedCode(t *testing.T, pid int) (changed int) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	for line := range strings.Lines(string(maps)) {
		var start, end, offset int64
		var permissions string
		if n, _ := fmt.Sscanf(line, "%x-%x %s %x", &start, &end, &permissions, &offset); n < 4 || !strings.Contains(permissions, "x") {
			continue
		}
		file, err := os.Open(fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, start, end))
		if err != nil {
			continue // it is of no file
		}
		code, original := make([]byte, end-start), make([]byte, end-start)
		_, err = memory.ReadAt(code, start)
		n, readErr := file.ReadAt(original, offset)
		if errors.Is(readErr, io.EOF) {
			readErr = nil
		}
		if err := errors.Join(err, readErr, file.Close()); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if code[i] != original[i] {
				changed++
			}
		}
	}
	return changed
}

// ends lets a target end, which must be well.
func (p *target) ends(t *testing.T) {
	t.Helper()
	if err := errors.Join(p.input.Close(), p.cmd.Wait()); err != nil {
		t.Errorf("the target did not survive: %v", err)
	}
}

// each runs a test with the hooks of newer and of older kernels.
func each(t *testing.T, test func(t *testing.T, w watch)) {
	for _, sessions := range []bool{true, false} {
		t.Run(fmt.Sprint("sessions ", sessions), func(t *testing.T) { test(t, startWatch(t, sessions)) })
	}
}

// TestForkedChild: what a child frees of its copy is not freed of the parent's.
func TestForkedChild(t *testing.T) {
	each(t, func(t *testing.T, w watch) {
		p := startTarget(t, `
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	void *blocks[100];
	int status = 1;
	char c;
	puts("ready");
	fflush(stdout);
	read(0, &c, 1);
	for (int i = 0; i < 100; i++)
		blocks[i] = malloc(100);
	if (!fork()) {
		for (int i = 0; i < 100; i++) {
			free(blocks[i]);
			blocks[i] = malloc(5000);
		}
		_exit(0);
	}
	wait(&status);
	printf("%d\n", status);
	fflush(stdout);
	read(0, &c, 1);
	return status;
}
`)
		if a := w.attach(t, p); a.Detached != nil {
			t.Fatal(a.Detached)
		}
		fmt.Fprint(p.input, "g")
		p.says(t, "0")
		live := w.living(t)
		w.stopped(t)
		for _, b := range live {
			if b.Size != 100 {
				t.Errorf("of the parent a block of %d bytes lives", b.Size)
			}
		}
		if n := changedCode(t, p.cmd.Process.Pid); len(live) != 100 || n != 0 {
			t.Errorf("%d blocks live of the parent, want 100; %d breakpoints are left", len(live), n)
		}
		p.ends(t)
	})
}

// TestKilled: a target that is killed while it allocates leaves nothing attached.
func TestKilled(t *testing.T) {
	each(t, func(t *testing.T, w watch) {
		p := startTarget(t, `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void *work(void *unused)
{
	for (;;) {
		char *volatile block = realloc(malloc(100), 200);
		free(block);
	}
	return unused;
}
int main(void)
{
	pthread_t t;
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < 3; i++)
		pthread_create(&t, 0, work, 0);
	work(0);
}
`)
		w.attach(t, p)
		time.Sleep(50 * time.Millisecond)
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.cmd.Wait() // says that it was killed
		live := w.living(t)
		w.Detach(uint32(p.cmd.Process.Pid))
		w.stopped(t)
		// Each thread had two blocks at most, of one of which it had just been told.
		if got := w.Targets(); len(got) != 1 || got[0].Hits == 0 || got[0].Ended <= got[0].Began || len(live) > 4*2 {
			t.Errorf("%d blocks live of %+v", len(live), got)
		}
	})
}

// allocatorLibrary is an allocator in a library of its own.
const allocatorLibrary = `
#include <stddef.h>
static char memory[1 << 18];
static size_t used;
__attribute__((noinline)) void *malloc(size_t size) { void *p = memory + used; used += (size + 31) & ~(size_t)31; return used > sizeof(memory) ? 0 : p; }
__attribute__((noinline)) void free(void *p) { if (p && (char *)p + 32 > memory + used) used = 0; __asm__ volatile("" ::: "memory"); }
`

// TestUnloaded: a library with an allocator is unloaded while it is probed, something else takes its
// place, and it is loaded again.
func TestUnloaded(t *testing.T) {
	each(t, func(t *testing.T, w watch) {
		gcc, err := exec.LookPath("gcc")
		if err != nil {
			t.Skip("needs gcc")
		}
		library := filepath.Join(t.TempDir(), "allocator.so")
		build := exec.Command(gcc, "-O1", "-w", "-fno-builtin", "-fPIC", "-shared", "-x", "c", "-o", library, "-")
		build.Stdin = strings.NewReader(allocatorLibrary)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		p := startTarget(t, `
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void line(void) { char c = 0; while (read(0, &c, 1) == 1 && c != '\n'); }
int main(int argc, char **argv)
{
	int wrong = 0;
	uintptr_t page = 0;
	void *taken = MAP_FAILED;
	for (int round = 0; round < 3; round++) {
		void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
		void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(library, "malloc");
		if (!library || !allocate)
			return 1;
		if (!round) {
			puts("ready");
			fflush(stdout);
			line();
		}
		for (int i = 0; i < 100; i++) {
			char *p = allocate(1237);
			wrong += !p;
			memset(p, 1, 1237);
		}
		page = (uintptr_t)allocate & ~(uintptr_t)4095;
		wrong += dlclose(library) != 0;
		/* Where code was there is data now, which nobody may change. */
		taken = mmap((void *)page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (taken != MAP_FAILED) {
			memset(taken, 0x55, 4096);
			usleep(50000);
			for (int i = 0; i < 4096; i++)
				wrong += ((char *)taken)[i] != 0x55;
			munmap(taken, 4096);
		}
	}
	printf("%d\n", wrong);
	fflush(stdout);
	line();
	return wrong;
}
`, library)
		if a := w.attach(t, p); a.Detached != nil {
			t.Fatal(a.Detached)
		}
		fmt.Fprintln(p.input, "go")
		p.says(t, "0")
		w.stopped(t)
		if n := changedCode(t, p.cmd.Process.Pid); n != 0 {
			t.Errorf("%d breakpoints are left", n)
		}
		own := 0
		for _, size := range w.taken(t) {
			if size == 1237 {
				own++
			}
		}
		// Its probes are in the file, and so in each of the three mappings, once.
		if own != 300 {
			t.Errorf("%d of the library's allocations were seen, want 300", own)
		}
		p.ends(t)
	})
}

// TestContainer: a process in a mount and a PID namespace of its own, with a root and a C library of
// its own, is followed, and the host's library has no probes.
func TestContainer(t *testing.T) {
	each(t, func(t *testing.T, w watch) {
		gcc, err := exec.LookPath("gcc")
		if err != nil {
			t.Skip("needs gcc")
		}
		root := t.TempDir()
		build := exec.Command(gcc, "-O1", "-w", "-x", "c", "-o", filepath.Join(root, "program"), "-")
		build.Stdin = strings.NewReader(blocksProgram)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, file := range []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"} {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Skip(err)
			}
			if err := errors.Join(os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o755), os.WriteFile(filepath.Join(root, file), data, 0o755)); err != nil {
				t.Fatal(err)
			}
		}
		inside := exec.Command("/program")
		inside.Dir = "/"
		inside.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
		p := begin(t, inside)
		a := w.attach(t, p)
		if a.Detached != nil || len(a.Allocators) != 1 {
			t.Fatalf("%+v", a)
		}
		if n := changedCode(t, os.Getpid()); n != 0 {
			t.Errorf("%d bytes of this process's code are changed", n)
		}
		fmt.Fprintln(p.input, "go")
		p.says(t, "0")
		w.stopped(t)
		if taken, live := len(w.taken(t)), len(w.living(t)); taken != 1001 || live != 100 {
			t.Errorf("%d allocations, %d live; want 1001 and 100", taken, live)
		}
		if n := changedCode(t, p.cmd.Process.Pid); n != 0 {
			t.Errorf("%d breakpoints are left", n)
		}
		p.ends(t)
	})
}

// TestExecWhileBusy: a target that runs another program while its threads allocate survives, and
// so does the one after it; the second is followed when it is asked for.
func TestExecWhileBusy(t *testing.T) {
	each(t, func(t *testing.T, w watch) {
		p := startTarget(t, `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void *work(void *unused)
{
	for (;;) {
		char *volatile block = malloc(100);
		free(block);
	}
	return unused;
}
static void line(void) { char c = 0; while (read(0, &c, 1) == 1 && c != '\n'); }
int main(int argc, char **argv)
{
	pthread_t t;
	puts(argc > 1 ? "ready" : "again");
	fflush(stdout);
	line();
	if (argc > 1) {
		for (int i = 0; i < 3; i++)
			pthread_create(&t, 0, work, 0);
		usleep(20000);
		execl("/proc/self/exe", "program", (char *)0);
	}
	for (int i = 0; i < 10; i++)
		*(char *volatile *)&(char *){ 0 } = malloc(77);
	puts("done");
	fflush(stdout);
	line();
	return 0;
}
`, "exec")
		w.attach(t, p)
		fmt.Fprintln(p.input, "go")
		p.says(t, "again")
		pid := uint32(p.cmd.Process.Pid)
		w.Replace(pid)
		scanned, ok := process.ScanOne(pid, w.binaries)
		if !ok {
			t.Fatal("the target cannot be read")
		}
		w.Attach(pid, scanned.Mappings)
		for range 200 {
			if got := w.Targets(); len(got) == 2 && got[1].Probed {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		fmt.Fprintln(p.input, "go")
		p.says(t, "done")
		live := w.living(t)
		w.stopped(t)
		of := 0
		for _, b := range live {
			if b.Size == 77 && b.Target == 1 {
				of++
			}
			if b.Target != 1 {
				t.Errorf("of the program before %+v lives", b)
			}
		}
		if of != 10 {
			t.Errorf("%d blocks live of the second program, want 10; %+v", of, w.Targets())
		}
		p.ends(t)
	})
}

// TestKnownTwice: a file that is known by two names, of a scan and of the kernel's records, is probed
// once: else each call counts twice, and is taken twice as likely.
func TestKnownTwice(t *testing.T) {
	each(t, func(t *testing.T, w watch) {
		p := startTarget(t, blocksProgram)
		w.attach(t, p)
		others := process.NewBinaries()
		defer others.Close()
		scanned, ok := process.ScanOne(uint32(p.cmd.Process.Pid), others)
		if !ok {
			t.Fatal("the target cannot be read")
		}
		w.Attach(uint32(p.cmd.Process.Pid), scanned.Mappings)
		time.Sleep(200 * time.Millisecond) // until that was looked at
		fmt.Fprintln(p.input, "go")
		p.says(t, "0")
		w.stopped(t)
		if taken, hits := len(w.taken(t)), w.Targets()[0].Hits; taken != 1001 || hits != 1000+1+1+900 {
			t.Errorf("%d allocations were taken at %d calls, want 1001 at 1902", taken, hits)
		}
		p.ends(t)
	})
}
