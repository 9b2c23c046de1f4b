package lifecycle

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringPages is the data area of one CPU's ring, 256 KiB: some 2,000 mappings.
const ringPages = 64

// perfBuildID is the attr's bit build_id, which x/sys does not name.
const perfBuildID = unix.CBitFieldMaskBit34

// ring is the kernel's buffer of records of one CPU, as perf_event_open(2)
// describes it: a control page, then a power of two of data pages that wrap.
type ring struct {
	fd      int
	memory  []byte
	control *unix.PerfEventMmapPage
	data    []byte
	record  []byte // a record that wraps is put together here
}

func openRing(cpu int) (*ring, error) {
	attr := unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_SOFTWARE,
		Config:      unix.PERF_COUNT_SW_DUMMY,
		Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample_type: unix.PERF_SAMPLE_TIME,
		Bits: unix.PerfBitMmap | unix.PerfBitMmap2 | unix.PerfBitComm | unix.PerfBitCommExec | unix.PerfBitTask |
			unix.PerfBitSampleIDAll | unix.PerfBitUseClockID | unix.PerfBitWatermark | perfBuildID,
		Wakeup:  uint32(ringPages * os.Getpagesize() / 4),
		Clockid: unix.CLOCK_MONOTONIC,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("opening the process records of CPU %d: %w", cpu, err)
	}
	pageSize := os.Getpagesize()
	memory, err := unix.Mmap(fd, 0, (1+ringPages)*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("mapping the ring of process records of CPU %d: %w", cpu, err)
	}
	return &ring{
		fd:      fd,
		memory:  memory,
		control: (*unix.PerfEventMmapPage)(unsafe.Pointer(&memory[0])),
		data:    memory[pageSize:],
		record:  make([]byte, 0, 4096),
	}, nil
}

// drain hands every waiting record to each, header included. The slice is valid
// during the call only.
func (r *ring) drain(each func(record []byte)) error {
	head := atomic.LoadUint64(&r.control.Data_head)
	tail := r.control.Data_tail
	defer func() { atomic.StoreUint64(&r.control.Data_tail, tail) }()
	for tail < head {
		var header [headerSize]byte
		copyFromRing(header[:], r.data, tail)
		size := uint64(*(*uint16)(unsafe.Pointer(&header[6])))
		if size < headerSize || size > head-tail {
			err := fmt.Errorf("a record of %d bytes where %d wait", size, head-tail)
			tail = head
			return err
		}
		r.record = r.record[:0]
		r.record = append(r.record, make([]byte, size)...)
		copyFromRing(r.record, r.data, tail)
		each(r.record)
		tail += size
	}
	return nil
}

// copyFromRing copies what starts at the free-running position, around the end.
func copyFromRing(to, data []byte, position uint64) {
	start := int(position % uint64(len(data)))
	n := copy(to, data[start:])
	copy(to[n:], data)
}

func (r *ring) close() error {
	if err := unix.Munmap(r.memory); err != nil {
		return fmt.Errorf("unmapping a ring of process records: %w", err)
	}
	if err := unix.Close(r.fd); err != nil {
		return fmt.Errorf("closing process records: %w", err)
	}
	return nil
}
