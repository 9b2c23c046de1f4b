package costs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// writePerfData writes what perf record would have for a process that maps all
// binaries of a corpus and was sampled once at each address: the file format of
// tools/perf/Documentation/perf.data-file-format.txt, the records of perf_event_open(2).
func writePerfData(w io.Writer, c corpus) error {
	const (
		headerSize = 104
		process    = 1000
		firstAt    = 0x7000_0000_0000 // where the first binary is mapped
		apart      = 1 << 32
		user       = unix.PERF_RECORD_MISC_USER
		id         = 1 // of the only event
	)
	order := binary.LittleEndian
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample: 99, Sample_type: unix.PERF_SAMPLE_IP | unix.PERF_SAMPLE_TID | unix.PERF_SAMPLE_TIME,
		Bits: unix.PerfBitFreq | unix.PerfBitMmap | unix.PerfBitComm | unix.PerfBitSampleIDAll,
	}
	var attrs bytes.Buffer
	if err := binary.Write(&attrs, order, attr); err != nil {
		return fmt.Errorf("encoding a perf_event_attr: %w", err)
	}
	attrEntry := attrs.Len() + 16
	var ids bytes.Buffer
	binary.Write(&ids, order, uint64(id)) // a bytes.Buffer does not fail

	var data bytes.Buffer
	now := uint64(1e9)
	record := func(kind uint32, misc uint16, parts ...any) {
		var body bytes.Buffer
		for _, p := range parts {
			binary.Write(&body, order, p)
		}
		binary.Write(&data, order, kind)
		binary.Write(&data, order, misc)
		binary.Write(&data, order, uint16(8+body.Len()))
		data.Write(body.Bytes())
	}
	// What ends each record but samples: PID, TID and time, by sample_id_all.
	when := func() []any { now++; return []any{uint32(process), uint32(process), now} }
	text := func(s string) []byte { return append([]byte(s), make([]byte, 8-len(s)%8)...) }
	record(unix.PERF_RECORD_COMM, 0, append([]any{uint32(process), uint32(process), text("corpus")}, when()...)...)
	at := func(i int) uint64 { return firstAt + uint64(i)*apart }
	for i, b := range c.binaries {
		const page = 4096
		length := (b.mapping.Limit - b.mapping.Start + b.mapping.Offset%page + page - 1) &^ (page - 1)
		record(unix.PERF_RECORD_MMAP, user, append([]any{uint32(process), uint32(process), at(i), length, b.mapping.Offset &^ (page - 1), text(b.path)}, when()...)...)
	}
	sample := make([]byte, 32)
	order.PutUint32(sample, unix.PERF_RECORD_SAMPLE)
	order.PutUint16(sample[4:], user)
	order.PutUint16(sample[6:], uint16(len(sample)))
	order.PutUint32(sample[16:], process)
	order.PutUint32(sample[20:], process)
	for i, b := range c.binaries {
		for _, address := range b.addresses {
			now++
			order.PutUint64(sample[8:], at(i)+address-b.mapping.Start+b.mapping.Offset%4096)
			order.PutUint64(sample[24:], now)
			data.Write(sample)
		}
	}

	var header bytes.Buffer
	header.WriteString("PERFILE2")
	idsAt := uint64(headerSize)
	attrsAt := idsAt + uint64(ids.Len())
	dataAt := attrsAt + uint64(attrEntry)
	for _, v := range []uint64{
		headerSize, uint64(attrEntry), attrsAt, uint64(attrEntry), dataAt, uint64(data.Len()), 0, 0, 0, 0, 0, 0,
	} {
		binary.Write(&header, order, v)
	}
	binary.Write(&attrs, order, []uint64{idsAt, uint64(ids.Len())})
	for _, part := range [][]byte{header.Bytes(), ids.Bytes(), attrs.Bytes(), data.Bytes()} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("writing samples for perf: %w", err)
		}
	}
	return nil
}
