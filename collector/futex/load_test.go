package futex

import (
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/wait"
)

// A call that waits for nobody is counted with its lock, on every kernel.
func TestCountsCalls(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loading programs needs root")
	}
	c, err := core.Load(1024)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	waits, err := wait.Open(c) // the programs work together
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer waits.Close()
	w, err := Open(c)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer w.Close()
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(page)
	word := &page[0] // what lies on a goroutine's stack may move
	const times, futexWait = 20, 0
	timeout := unix.NsecToTimespec(int64(time.Millisecond))
	undisturbed(t)
	var interrupted uint64
	for done := 0; done < times; {
		_, _, errno := syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait|private, 0, uintptr(unsafe.Pointer(&timeout)), 0, 0)
		if errno == syscall.EINTR {
			interrupted++
			continue
		}
		if errno != syscall.ETIMEDOUT {
			t.Fatal(errno)
		}
		done++
		syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait|private, 1, 0, 0, 0) // EAGAIN
	}
	var records int
	if err := waits.Asleep(func([]byte) { records++ }); err != nil {
		t.Fatal(err)
	}
	if err := waits.Cut(uint64(1<<62), func([]byte) { records++ }); err != nil || records == 0 {
		t.Fatalf("%d records of threads that sleep, %v", records, err)
	}
	var found Sums
	if err := w.Read(0, func(s Sums) {
		if s.Key == (Key{uint32(os.Getpid()), uint64(uintptr(unsafe.Pointer(word)))}) {
			found = s
		}
	}); err != nil {
		t.Fatal(err)
	}
	if found.Waits != 2*times+interrupted || found.TimedOut != times || found.Interrupted < interrupted || found.Changed != times || found.Waited < times*uint64(time.Millisecond) {
		t.Errorf("of %d calls that timed out and as many for a word that had changed: %+v", times, found)
	}
	forgotten := 0
	for range 2 {
		if err := w.Read(1<<63, func(s Sums) {
			if s.Key == found.Key {
				forgotten++
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if forgotten != 1 {
		t.Errorf("a lock was given out %d times after it was to be forgotten", forgotten)
	}
}
