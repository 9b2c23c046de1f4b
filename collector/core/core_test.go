package core

import (
	"math/bits"
	"testing"
)

func TestRingBytes(t *testing.T) {
	for cpus, want := range map[int]uint32{1: 2 << 20, 2: 4 << 20, 3: 8 << 20, 4: 8 << 20, 8: 16 << 20, 9: 16 << 20, 8192: 16 << 20} {
		got := ringBytes(cpus)
		if got != want || bits.OnesCount32(got) != 1 {
			t.Errorf("%d CPUs: %d bytes, want %d", cpus, got, want)
		}
	}
}
