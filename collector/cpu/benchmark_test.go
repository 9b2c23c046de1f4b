package cpu

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
)

// record is what the program writes for a stack of so many user frames.
func record(frames int) []byte {
	var raw bpf.CPUCpuSample
	raw.Header.Time, raw.Header.Cpu = 11, 3
	raw.Thread.Tgid, raw.Thread.Tid = 1000, 1001
	raw.Thread.ProcessStart, raw.Thread.ExecGeneration, raw.Thread.Cgroup = 12, 13, 14
	raw.Weight, raw.Stack.Unwind = 15, 16
	for i, c := range []byte("some-thread") {
		raw.Thread.ThreadName[i], raw.Thread.ProcessName[i] = int8(c), int8(c)
	}
	raw.Stack.UserFrames = uint16(frames)
	for i := range frames {
		raw.Stack.Frames[i] = 0x7f0000000000 + uint64(i)*64
	}
	whole := unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))
	return append([]byte(nil), whole[:framesOffset+uintptr(frames)*8]...)
}

func BenchmarkDecode(b *testing.B) {
	for _, frames := range []int{10, 50, 200} {
		b.Run(fmt.Sprintf("frames=%d", frames), func(b *testing.B) {
			data := record(frames)
			for b.Loop() {
				s, err := Decode(data)
				if err != nil || len(s.User) != frames {
					b.Fatalf("%d frames, %v", len(s.User), err)
				}
			}
			b.ReportAllocs()
		})
	}
}

// BenchmarkParseIdleCode reads the running kernel's symbols, as each start does.
func BenchmarkParseIdleCode(b *testing.B) {
	symbols, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		b.Skip("needs the kernel's symbols: ", err)
	}
	for b.Loop() {
		parseIdleCode(bytes.NewReader(symbols))
	}
	b.ReportAllocs()
}
