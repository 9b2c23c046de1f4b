package core

import (
	"bufio"
	"errors"
	"io"
	"unsafe"

	"github.com/cilium/ebpf/link"
)

// Iterate runs a program on all there is of something, and has read take what it writes. No
// CPU misses a tick for it: it is one file that is read.
func Iterate(options link.IterOptions, read func(io.Reader) error) (err error) {
	iterator, err := link.AttachIter(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, iterator.Close()) }()
	file, err := iterator.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return read(file)
}

// EachRecord returns a reader for [Iterate] of a program that writes records of the type T
// alone, as C lays it out. Each is valid until the next.
func EachRecord[T any](each func(*T)) func(io.Reader) error {
	return func(file io.Reader) error {
		records := bufio.NewReaderSize(file, 64<<10)
		raw := new(T)
		for {
			switch _, err := io.ReadFull(records, unsafe.Slice((*byte)(unsafe.Pointer(raw)), unsafe.Sizeof(*raw))); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			each(raw)
		}
	}
}
