package futex

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/wait"
)

// watch loads the programs that work together.
func watch(t *testing.T) (*wait.Watcher, *Watcher) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading programs needs root")
	}
	c, err := core.Load(1024)
	if err != nil {
		t.Fatal(err)
	}
	waits, err := wait.Open(c)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	w, err := Open(c)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), waits.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
	return waits, w
}

// words is memory that never moves.
func words(t *testing.T) []uint32 {
	t.Helper()
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(page) })
	return unsafe.Slice((*uint32)(unsafe.Pointer(&page[0])), len(page)/4)
}

func address(word *uint32) uint64 { return uint64(uintptr(unsafe.Pointer(word))) }

// sumsOf reads what was counted of a lock.
func sumsOf(t *testing.T, w *Watcher, pid int, address uint64) (found Sums) {
	t.Helper()
	if err := w.Read(0, func(s Sums) {
		if s.Key == (Key{uint32(pid), address}) {
			found = s
		}
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// deadline is a time on CLOCK_MONOTONIC, as the later calls take it.
func deadline(after time.Duration) *unix.Timespec {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	at := unix.NsecToTimespec(now.Nano() + int64(after))
	return &at
}

// Of the system calls that came later; the numbers are the same on all machines.
const (
	sysFutexWaitv, sysFutexWake, sysFutexWait = 449, 454, 455
	size32                                    = 2 // FUTEX2_SIZE_U32
)

// waiter is struct futex_waitv.
type waiter struct {
	value, address  uint64
	flags, reserved uint32
}

// waitv waits for any of some words that are 0.
func waitv(words []*uint32, value uint64, timeout time.Duration) syscall.Errno {
	var waiters []waiter
	for _, w := range words {
		waiters = append(waiters, waiter{value: value, address: address(w), flags: size32 | private})
	}
	_, _, errno := syscall.Syscall6(sysFutexWaitv, uintptr(unsafe.Pointer(&waiters[0])), uintptr(len(waiters)), 0,
		uintptr(unsafe.Pointer(deadline(timeout))), unix.CLOCK_MONOTONIC, 0)
	return errno
}

func wait2(word *uint32, value uintptr, timeout time.Duration) syscall.Errno {
	_, _, errno := syscall.Syscall6(sysFutexWait, uintptr(unsafe.Pointer(word)), value, 1<<32-1, size32|private,
		uintptr(unsafe.Pointer(deadline(timeout))), unix.CLOCK_MONOTONIC)
	return errno
}

// wakeUntil wakes who waits for a word until it is told to stop.
func wakeUntil(word *uint32, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
			syscall.Syscall6(sysFutexWake, uintptr(unsafe.Pointer(word)), 1<<32-1, 1, size32|private, 0, 0)
			syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 1|private, 1, 0, 0, 0)
		}
	}
}

// The system calls that came later are counted as futex(2) is, where the kernel has them.
func TestCountsLaterCalls(t *testing.T) {
	for name, call := range map[string]struct {
		wait func(word *uint32, value uint64, timeout time.Duration) syscall.Errno
	}{
		"futex_wait": {func(word *uint32, value uint64, timeout time.Duration) syscall.Errno {
			return wait2(word, uintptr(value), timeout)
		}},
		"futex_waitv": {func(word *uint32, value uint64, timeout time.Duration) syscall.Errno {
			return waitv([]*uint32{word}, value, timeout)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			word := &words(t)[0]
			if errno := call.wait(word, 1, 0); errno == syscall.ENOSYS {
				t.Skip("this kernel does not have it")
			}
			waits, w := watch(t)
			undisturbed(t)
			// Long against what a slow machine takes from the reading of the clock to the sleep.
			const times, timeout = 10, 20 * time.Millisecond
			for range times {
				if errno := call.wait(word, 0, timeout); errno != syscall.ETIMEDOUT {
					t.Fatal(errno)
				}
				if errno := call.wait(word, 1, timeout); errno != syscall.EAGAIN {
					t.Fatal(errno)
				}
			}
			stop := make(chan struct{})
			go wakeUntil(word, stop)
			errno := call.wait(word, 0, time.Minute)
			close(stop)
			if errno != 0 {
				t.Fatal(errno)
			}
			cut(t, waits)
			s := sumsOf(t, w, os.Getpid(), address(word))
			if s.Waits != 2*times+1 || s.TimedOut != times || s.Changed != times || s.Waited < times*uint64(timeout)/2 {
				t.Errorf("of %d calls that timed out, as many for a word that had changed and one that was woken: %+v", times, s)
			}
		})
	}
}

// cut has told what threads have gathered.
func cut(t *testing.T, waits *wait.Watcher) {
	t.Helper()
	if err := waits.Cut(1, func([]byte) {}); err != nil {
		t.Fatal(err)
	}
}

// A wait for several futexes is counted with the one that let it go on, else with the first.
func TestCountsWaitsForSeveral(t *testing.T) {
	memory := words(t)
	several := []*uint32{&memory[0], &memory[16], &memory[32]}
	if errno := waitv(several, 1, 0); errno == syscall.ENOSYS {
		t.Skip("this kernel has no futex_waitv")
	}
	_, w := watch(t)
	undisturbed(t)
	if errno := waitv(several, 0, time.Millisecond); errno != syscall.ETIMEDOUT {
		t.Fatal(errno)
	}
	stop := make(chan struct{})
	go wakeUntil(several[2], stop)
	errno := waitv(several, 0, time.Minute)
	close(stop)
	if errno != 0 {
		t.Fatal(errno)
	}
	for i, want := range []struct{ waits, timedOut uint64 }{{1, 1}, {0, 0}, {1, 0}} {
		if s := sumsOf(t, w, os.Getpid(), address(several[i])); s.Waits != want.waits || s.TimedOut != want.timedOut {
			t.Errorf("futex %d: %+v, want %+v", i, s, want)
		}
	}
}

// onThread runs something on a thread that ends then. The first thread would not.
func onThread(run func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			onThread(run)
			return
		}
		run()
	}()
	<-done
}

// What a thread has gathered of calls that did not wait is told when it turns to another
// lock, and when it ends.
func TestTellsWhatWasGathered(t *testing.T) {
	_, w := watch(t)
	memory := words(t)
	const times = 100
	onThread(func() {
		for i := range 3 {
			for range times {
				syscall.RawSyscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(&memory[16*(i&1)])), 0|private, contended, 0, 0, 0)
			}
		}
	})
	for i, want := range []uint64{2 * times, times} {
		word := address(&memory[16*i])
		for begun := time.Now(); sumsOf(t, w, os.Getpid(), word).Changed < want && time.Since(begun) < 5*time.Second; {
			time.Sleep(time.Millisecond) // until the thread has ended
		}
		if s := sumsOf(t, w, os.Getpid(), word); s.Waits != want || s.Changed != want || s.Acquisitions != 1 || s.Waited != 0 {
			t.Errorf("of %d calls of a thread that has ended: %+v", want, s)
		}
	}
}

// interruptedFor says to this program, started again, that it is to wait for a futex.
const interruptedFor = "NARROWS_TEST_FUTEX_WAIT"

const interruptedWait = 600 * time.Millisecond

// waitOnce waits for a futex with a timeout, after having told which.
func waitOnce(t *testing.T) {
	undisturbed(t)
	word := &words(t)[0]
	timeout := unix.NsecToTimespec(int64(interruptedWait))
	fmt.Printf("%d\n", address(word))
	if _, _, errno := syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), 0|private, 0, uintptr(unsafe.Pointer(&timeout)), 0, 0); errno != syscall.ETIMEDOUT {
		t.Fatal(errno)
	}
}

// A wait with a timeout that a signal interrupts, which nobody handles, goes on by
// restart_syscall; the time of that counts too.
func TestCountsRestartedCalls(t *testing.T) {
	if os.Getenv(interruptedFor) != "" {
		waitOnce(t)
		return
	}
	_, w := watch(t)
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), interruptedFor+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var word uint64
	if _, err := fmt.Sscanf(strings.TrimSpace(line), "%d", &word); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	for _, signal := range []os.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	s := sumsOf(t, w, cmd.Process.Pid, word)
	if s.Waits != 2 || s.Interrupted != 1 || s.TimedOut != 1 || s.Acquisitions != 1 {
		t.Errorf("of a wait that was interrupted and restarted: %+v", s)
	}
	if s.Waited < uint64(interruptedWait/2) {
		t.Errorf("it waited for %v of %v", time.Duration(s.Waited), interruptedWait)
	}
}
