package heldlock

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of include/uapi/linux/userfaultfd.h.
const (
	uffdAPI         = 0xaa
	uffdioAPI       = 0xc018aa3f
	uffdioRegister  = 0xc020aa00
	uffdioCopy      = 0xc028aa03
	registerMissing = 1
	messageSize     = 32
	eventPageFault  = 0x12
)

// missing is a page that is not there until it is supplied.
type missing struct {
	fd     int
	memory []byte
}

func newMissing() (*missing, error) {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		return nil, fmt.Errorf("userfaultfd: %w", errno)
	}
	m := &missing{fd: int(fd)}
	api := [3]uint64{uffdAPI}
	if err := m.ioctl(uffdioAPI, unsafe.Pointer(&api)); err != nil {
		return nil, errors.Join(err, m.close())
	}
	memory, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mapping a page: %w", err), m.close())
	}
	m.memory = memory
	register := [4]uint64{m.address(), uint64(len(memory)), registerMissing}
	if err := m.ioctl(uffdioRegister, unsafe.Pointer(&register)); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *missing) address() uint64 { return uint64(uintptr(unsafe.Pointer(&m.memory[0]))) }

func (m *missing) ioctl(request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(m.fd), request, uintptr(argument)); errno != 0 {
		return fmt.Errorf("userfaultfd's ioctl %#x: %w", request, errno)
	}
	return nil
}

// renew takes the page away again.
func (m *missing) renew() error {
	if err := unix.Madvise(m.memory, unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("dropping a page: %w", err)
	}
	return nil
}

// awaitFault returns when somebody waits for the page.
func (m *missing) awaitFault() error {
	var message [messageSize]byte
	n, err := unix.Read(m.fd, message[:])
	if err != nil {
		return fmt.Errorf("waiting for a page fault: %w", err)
	}
	if n != messageSize || message[0] != eventPageFault {
		return fmt.Errorf("userfaultfd told of event %#x in %d bytes", message[0], n)
	}
	return nil
}

// supply lets who waits for the page go on.
func (m *missing) supply() error {
	zeros := make([]byte, len(m.memory))
	request := [5]uint64{m.address(), uint64(uintptr(unsafe.Pointer(&zeros[0]))), uint64(len(zeros))}
	return m.ioctl(uffdioCopy, unsafe.Pointer(&request))
}

func (m *missing) close() error {
	var err error
	if m.memory != nil {
		err = unix.Munmap(m.memory)
	}
	return errors.Join(err, unix.Close(m.fd))
}
