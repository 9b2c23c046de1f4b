package unwind

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// shared is an array map mapped into this process: writing to it is no system call,
// during which a CPU would take no sample.
type shared[T any] struct {
	memory   []byte
	elements []T
}

// share maps a map of BPF_F_MMAPABLE. It needs Linux 5.5.
func share[T any](m *ebpf.Map) (shared[T], error) {
	var element T
	n := int(m.MaxEntries())
	if int(m.ValueSize()) != int(unsafe.Sizeof(element)) {
		return shared[T]{}, fmt.Errorf("mapping %v: its values have %d bytes, not %d", m, m.ValueSize(), unsafe.Sizeof(element))
	}
	memory, err := unix.Mmap(m.FD(), 0, n*int(m.ValueSize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return shared[T]{}, fmt.Errorf("mapping %v: %w", m, err)
	}
	return shared[T]{memory, unsafe.Slice((*T)(unsafe.Pointer(&memory[0])), n)}, nil
}

func (s *shared[T]) close() error {
	if s.memory == nil {
		return nil
	}
	memory := s.memory
	s.memory, s.elements = nil, nil
	if err := unix.Munmap(memory); err != nil {
		return fmt.Errorf("unmapping a map: %w", err)
	}
	return nil
}
