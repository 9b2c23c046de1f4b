package vault

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// secretBytes is room for the largest unit that is kept whole.
const secretBytes = 8 << 20

// secret is memory that plaintext passes through on its way out, with the fault
// FreshMappings: it is mapped for one read alone, and wiped before it is used.
type secret []byte

// mapSecret maps and wipes memory. Each of its pages is touched here first.
func mapSecret() (secret, error) {
	memory, err := unix.Mmap(-1, 0, secretBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("mapping memory for a secret: %w", err)
	}
	if err := unix.Madvise(memory, unix.MADV_NOHUGEPAGE); err != nil {
		return nil, fmt.Errorf("mapping memory for a secret: %w", err)
	}
	clear(memory)
	return memory, nil
}

// pass takes a chunk through the memory.
func (s secret) pass(part []byte) []byte {
	return append([]byte(nil), s[:copy(s, part)]...)
}

// unmap gives the memory back.
func (s secret) unmap() error {
	if err := unix.Munmap(s); err != nil {
		return fmt.Errorf("unmapping the memory of a secret: %w", err)
	}
	return nil
}

// throughSecret takes the chunks of a read through memory of their own, with the fault.
func (v *Vault) throughSecret(parts [][]byte) error {
	if !v.secrets {
		return nil
	}
	s, err := mapSecret()
	if err != nil {
		return err
	}
	for i, part := range parts {
		parts[i] = s.pass(part)
	}
	return s.unmap()
}
