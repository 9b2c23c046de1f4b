package wait

import (
	"encoding/binary"
	"errors"
	"testing"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/window"
)

// record is an EVENT_WAIT as the program writes it.
func record(change func(*bpf.CoreWaitEvent)) []byte {
	raw := bpf.CoreWaitEvent{Since: 100, Woken: 150, Weight: 3 * weightOne / 2, WakerTgid: 7, WakerTid: 8, Syscall: -1, HasStack: 1, NamespaceTid: 5}
	raw.Header.Time, raw.Thread.Tgid, raw.Thread.Tid = 180, 1000, 1001
	raw.Stack.Low, raw.Stack.High, raw.WakerStack.High = 1, 2, 4
	raw.Futex.Address, raw.Futex.Owner = 0x1000, 9
	change(&raw)
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))...)
}

func TestDecode(t *testing.T) {
	e, err := Decode(record(func(*bpf.CoreWaitEvent) {}))
	if err != nil {
		t.Fatal(err)
	}
	if e.Blocked() != 50 || e.Runnable() != 30 || e.Weight != 1.5 || e.Syscall != -1 || e.NamespaceTID != 5 {
		t.Errorf("%+v", e)
	}
	if e.Thread.PID != 1000 || e.Thread.TID != 1001 || e.Stack != (window.StackID{1, 2}) {
		t.Errorf("%+v", e)
	}
	if e.Waker != (Waker{PID: 7, TID: 8, Stack: window.StackID{0, 4}}) || e.Futex.Address != 0x1000 || e.Futex.Owner != 9 {
		t.Errorf("%+v", e)
	}
	// A thread that was not woken has been blocked all the time.
	e, err = Decode(record(func(raw *bpf.CoreWaitEvent) { raw.Woken = 0 }))
	if err != nil || e.Blocked() != 80 || e.Runnable() != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing":            nil,
		"a cut record":       record(func(*bpf.CoreWaitEvent) {})[:eventSize-1],
		"an end before":      record(func(raw *bpf.CoreWaitEvent) { raw.Header.Time = 99 }),
		"no weight":          record(func(raw *bpf.CoreWaitEvent) { raw.Weight = 0 }),
		"a stack without it": make([]byte, stackHeader-1),
	} {
		if _, err := Decode(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := DecodeStack(data); len(data) < int(stackHeader) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s as a stack: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record(func(*bpf.CoreWaitEvent) {}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := Decode(data); err == nil && e.Blocked()+e.Runnable() != e.Time-e.Since {
			t.Errorf("%d and %d of %d ns", e.Blocked(), e.Runnable(), e.Time-e.Since)
		}
		if s, err := DecodeStack(data); err == nil && 8*(len(s.User)+len(s.Kernel)) > len(data) {
			t.Errorf("%d and %d frames in %d bytes", len(s.User), len(s.Kernel), len(data))
		}
	})
}

// names names one function a page.
type names map[uint64]string

func (n names) Lookup(address uint64) (string, string, bool) {
	name, ok := n[address]
	return name, "", ok
}

func TestStates(t *testing.T) {
	r := NewReasons(names{
		1: "bpf_trace_run4", 2: "__schedule", 3: "schedule", 4: "futex_do_wait", 5: "io_schedule", 6: "handle_mm_fault",
		7: "unix_stream_data_wait", 8: "inet_csk_accept", 9: "worker_thread", 10: "rwsem_down_read_slowpath.constprop.0",
		11: "ext4_file_write_iter", 12: "do_nanosleep", 13: "ep_poll", 14: "anon_pipe_read", 15: "schedule_timeout", 16: "mystery",
	})
	for want, stack := range map[string][]uint64{
		Futex:  {2, 3, 4},
		IO:     {2, 3, 5, 11},
		Fault:  {2, 3, 5, 6}, // a page fault that waits for a disk
		Socket: {2, 3, 15, 7},
		Idle:   {2, 3, 15, 8}, // nobody connects
		Lock:   {2, 3, 10, 11},
		Sleep:  {2, 3, 12},
		Poll:   {2, 3, 13},
		Pipe:   {2, 3, 14},
		Other:  {2, 3, 16, 99},
	} {
		if got := r.State(stack); got != want {
			t.Errorf("%v: %s, want %s", stack, got, want)
		}
	}
	if got := r.State([]uint64{2, 3, 9}); got != Idle {
		t.Errorf("a kernel worker without work: %s", got)
	}
	if got := r.Trim([]uint64{99, 1, 2, 3, 4}); len(got) != 3 || got[0] != 2 {
		t.Errorf("trimmed to %v, want it to begin with the scheduler", got)
	}
	if got := r.Trim([]uint64{99, 3}); len(got) != 2 {
		t.Errorf("a stack without the scheduler: %v", got)
	}
	if e := (Event{Flags: bpf.CoreWaitFlagWAIT_IN_IOWAIT}); e.BlockedState(Other) != IO || e.BlockedState(Futex) != Futex {
		t.Error("the kernel's own word that it waits for a device is not used")
	}
}

// sized is records as the programs on threads write them.
func sized(records ...string) (all []byte) {
	for _, r := range records {
		all = binary.NativeEndian.AppendUint64(all, uint64(len(r)))
		all = append(all, r...)
	}
	return all
}
