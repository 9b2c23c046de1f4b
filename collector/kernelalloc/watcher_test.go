package kernelalloc

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
)

// watched is a watcher whose events are read.
type watched struct {
	*Watcher
	core   *core.Core
	events *ringbuf.Reader
	done   sync.WaitGroup
	caches map[uint64]string
	sent   []Event
}

func watch(t *testing.T, mean uint64, live uint32) *watched {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading eBPF programs needs root")
	}
	shared, err := core.Load(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shared.Close() })
	if err := shared.ForgetStacks(); err != nil {
		t.Fatal(err)
	}
	w := &watched{Watcher: &Watcher{}, core: shared, caches: map[uint64]string{}}
	if w.events, err = ringbuf.NewReader(shared.Events()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.events.Close() })
	w.events.SetDeadline(time.Now().Add(time.Millisecond))
	w.done.Go(w.read)
	if err := w.open(shared, mean, live); err != nil {
		t.Fatal(errors.Join(err, w.Close()))
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *watched) read() {
	for {
		record, err := w.events.Read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			w.events.SetDeadline(time.Now().Add(10 * time.Millisecond))
			continue
		case err != nil:
			return
		}
		if bpf.CoreEventKind(binary.NativeEndian.Uint32(record.RawSample[8:])) != bpf.CoreEventKindEVENT_KERNEL_ALLOC {
			continue
		}
		if e, err := Decode(record.RawSample); err == nil {
			w.caches[e.Cache] = e.CacheName
			w.sent = append(w.sent, e)
		}
	}
}

// end stops the watcher and returns how many objects of each cache this process has that
// live, and how many pages.
func (w *watched) end(t *testing.T) (objects map[string]int, pages int) {
	t.Helper()
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := w.events.Flush(); err != nil {
		t.Fatal(err)
	}
	w.done.Wait()
	objects = map[string]int{}
	freed, err := w.Live(func(b Block) {
		switch {
		case b.Owner.PID != uint32(os.Getpid()) || b.Interrupt:
		case b.Kind == Page:
			pages += int(b.Size) / os.Getpagesize()
		default:
			objects[w.caches[b.Cache]]++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v and %d pages live, %d objects were freed unseen, %d events", objects, pages, freed, len(w.sent))
	return objects, pages
}

// Sockets that are open are objects of one slab cache each, and what pipes hold is pages.
func TestLiveIsTrue(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const sockets, pipes = 600, 64
	w := watch(t, 1, maxLive)
	var held, closed []int
	for i := range sockets {
		s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			held = append(held, s)
		} else {
			closed = append(closed, s)
		}
		letRead(i)
	}
	const buffer = 16 * 4096
	for i := range pipes {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Write(p[1], make([]byte, buffer)); n != buffer || err != nil {
			t.Fatalf("wrote %d bytes into a pipe: %v", n, err)
		}
		if i%2 == 0 {
			held = append(held, p[:]...)
		} else {
			closed = append(closed, p[:]...)
		}
		letRead(i)
	}
	for _, fd := range closed {
		unix.Close(fd)
	}
	time.Sleep(2 * time.Second) // inodes are freed once nobody can look at them
	totals, err := w.Totals()
	if err != nil {
		t.Fatal(err)
	}
	objects, pages := w.end(t)
	t.Logf("%+v", totals)
	for _, fd := range held {
		unix.Close(fd)
	}
	if n := objects["sock_inode_cache"]; n < sockets/2*98/100 || n > sockets/2*102/100 {
		t.Errorf("%d sockets live, want %d", n, sockets/2)
	}
	want := pipes / 2 * buffer / os.Getpagesize()
	if pages < want*98/100 || pages > 2*want { // pages for objects come by as well
		t.Errorf("%d pages live, want %d and some for objects", pages, want)
	}
	if totals.Slab.Objects < 2*sockets || totals.Page.Bytes < pipes*buffer || totals.Slab.Sent == 0 {
		t.Errorf("counted %+v", totals)
	}
	if seen := totals.Page.Bytes + totals.ProgramBytes; seen > totals.Pages*uint64(os.Getpagesize()) {
		t.Errorf("%d bytes in pages, more than the %d pages that the kernel counted", seen, totals.Pages)
	}
}

// letRead gives the reader time now and then: here every stack is copied, since nothing is
// known of this process's code.
func letRead(i int) {
	if i%8 == 7 {
		time.Sleep(30 * time.Millisecond)
	}
}

// What there is no room for is counted, and so is where memory comes back whose end was not
// seen; the rest goes on.
func TestTooMuchLives(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const room, sockets = 64, 400
	w := watch(t, 1, room)
	var held []int
	for i := range sockets {
		s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, s)
		letRead(i)
	}
	objects, pages := w.end(t)
	for _, fd := range held {
		unix.Close(fd)
	}
	counters, err := w.core.Counters()
	if err != nil {
		t.Fatal(err)
	}
	lost := counters[bpf.CoreCounterCOUNTER_KERNEL_ALLOC_FULL]
	t.Logf("%d times there was no room", lost)
	// A socket, its inode, a file and a directory entry, at least.
	if lost < 4*sockets-room {
		t.Errorf("no room for %d objects, want %d and more", lost, 4*sockets-room)
	}
	total := pages
	for _, n := range objects {
		total += n
	}
	if total > room {
		t.Errorf("%d objects and pages live where there is room for %d", total, room)
	}
}

// What nobody took down costs a sum; after the end nothing is counted.
func TestTotalsCount(t *testing.T) {
	w := watch(t, 1<<20, maxLive)
	before, err := w.Totals()
	if err != nil {
		t.Fatal(err)
	}
	const calls = 20_000
	churn(t, calls)
	after, err := w.Totals()
	if err != nil {
		t.Fatal(err)
	}
	seen := after.Since(before)
	if seen.Slab.Objects < calls || seen.Slab.Sent+seen.Slab.Lost > seen.Slab.Objects/10 {
		t.Errorf("%+v of %d allocations and more", seen, calls)
	}
	w.end(t)
	if before, err = w.Totals(); err != nil {
		t.Fatal(err)
	}
	churn(t, calls)
	if after, err = w.Totals(); err != nil || after.Slab != before.Slab || after.Page != before.Page {
		t.Errorf("%+v counted after the end, %v", after.Since(before), err)
	}
}

// churn has the kernel allocate at least so many objects, and free them.
func churn(t *testing.T, calls int) {
	t.Helper()
	for range calls / 2 { // a context and a file, at least
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
	}
}
