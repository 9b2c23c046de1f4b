package cpu

import (
	"errors"
	"slices"
	"testing"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
)

// record makes what the program would write for the given stacks.
func record(user, kernel []uint64) []byte {
	var raw bpf.CPUCpuSample
	raw.Header.Time, raw.Header.Cpu = 123, 1
	raw.Thread.Tgid, raw.Thread.Tid, raw.Thread.ProcessStart, raw.Thread.ExecGeneration = 10, 11, 99, 3
	copy(raw.Thread.ThreadName[:], []int8{'w', 'o', 'r', 'k'})
	raw.Weight = 1000
	raw.Stack.UserFrames, raw.Stack.KernelFrames = uint16(len(user)), uint16(len(kernel))
	copy(raw.Stack.Frames[:], slices.Concat(user, kernel))
	whole := unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))
	return slices.Clone(whole[:int(framesOffset)+8*(len(user)+len(kernel))])
}

func TestDecode(t *testing.T) {
	got, err := Decode(record([]uint64{1, 2, 3}, []uint64{4, 5}))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.User, []uint64{1, 2, 3}) || !slices.Equal(got.Kernel, []uint64{4, 5}) {
		t.Errorf("frames %v and %v", got.User, got.Kernel)
	}
	if got.Time != 123 || got.CPU != 1 || got.Process.PID != 10 || got.TID != 11 || got.Process.Start != 99 ||
		got.Process.Generation != 3 || got.Thread != "work" || got.Weight != 1000 {
		t.Errorf("%+v", got)
	}
}

func TestDecodeRefusesCutRecords(t *testing.T) {
	whole := record([]uint64{1, 2, 3}, []uint64{4, 5})
	for n := range len(whole) {
		if _, err := Decode(whole[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("a record cut to %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record([]uint64{1}, nil))
	f.Add(record(nil, []uint64{1, 2}))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err == nil && len(data) < int(framesOffset)+8*(len(s.User)+len(s.Kernel)) {
			t.Errorf("%d frames out of %d bytes", len(s.User)+len(s.Kernel), len(data))
		}
	})
}
