package core

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/narrows-profiler/narrows/bpf"
)

// generation is what the kernel side goes by to send each stack once; see bpf/stack_once.h.
type generation struct {
	mu     sync.Mutex
	number uint64
	seed   [2]uint64
}

// ForgetStacks says that user space forgets the stacks it was sent, so that each is sent
// again before it is next named. It is called once before any program names stacks.
func (c *Core) ForgetStacks() error {
	g := &c.stacks
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.number == 0 {
		var seed [16]byte
		if _, err := rand.Read(seed[:]); err != nil {
			return fmt.Errorf("drawing the seed of stacks' hashes: %w", err)
		}
		g.seed = [2]uint64{binary.NativeEndian.Uint64(seed[:]), binary.NativeEndian.Uint64(seed[8:])}
	}
	g.number++
	if err := c.objects.StackSettings.Put(uint32(0), bpf.CoreStackSetting{Seed: g.seed, Generation: g.number}); err != nil {
		return fmt.Errorf("forgetting stacks: %w", err)
	}
	return nil
}
