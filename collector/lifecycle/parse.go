package lifecycle

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Layouts: include/uapi/linux/perf_event.h, enum perf_event_type. With
// sample_id_all and PERF_SAMPLE_TIME every record ends in its time.
const (
	headerSize      = 8  // type u32, misc u16, size u16
	sampleIDSize    = 8  // time u64
	taskRecordSize  = 24 // pid, ppid, tid, ptid u32; time u64
	mmap2RecordSize = 64 // pid, tid u32; addr, len, pgoff u64; 24 bytes of file identity; prot, flags u32
	maxBuildID      = 20
)

var errShortRecord = errors.New("record is shorter than its type")

// parse decodes one record, header included. It returns false for records that
// say nothing about a process's lifetime or code.
func parse(record []byte) (event Event, lost uint64, ok bool, err error) {
	if len(record) < headerSize+sampleIDSize {
		return Event{}, 0, false, errShortRecord
	}
	kind := binary.NativeEndian.Uint32(record)
	misc := binary.NativeEndian.Uint16(record[4:])
	body := record[headerSize : len(record)-sampleIDSize]
	event.Time = binary.NativeEndian.Uint64(record[len(record)-sampleIDSize:])

	switch kind {
	case unix.PERF_RECORD_FORK, unix.PERF_RECORD_EXIT:
		ok, err = parseTask(&event, kind, body)
	case unix.PERF_RECORD_COMM:
		ok, err = parseComm(&event, misc, body)
	case unix.PERF_RECORD_MMAP2:
		ok, err = parseMmap2(&event, misc, body)
	case unix.PERF_RECORD_LOST:
		if len(body) < 16 { // id u64, lost u64
			return Event{}, 0, false, fmt.Errorf("lost: %w", errShortRecord)
		}
		lost = binary.NativeEndian.Uint64(body[8:])
	}
	return event, lost, ok, err
}

// parseTask reads a fork or an exit; those of single threads are of no interest.
func parseTask(event *Event, kind uint32, body []byte) (bool, error) {
	if len(body) < taskRecordSize {
		return false, fmt.Errorf("fork or exit: %w", errShortRecord)
	}
	pid := binary.NativeEndian.Uint32(body)
	parent := binary.NativeEndian.Uint32(body[4:])
	tid := binary.NativeEndian.Uint32(body[8:])
	event.PID = pid
	if kind == unix.PERF_RECORD_EXIT {
		event.Kind = Exit
		return pid == tid, nil
	}
	event.Kind, event.Parent = Fork, parent
	return pid == tid && pid != parent, nil
}

// parseComm reads a change of name; only the one that an exec makes matters.
func parseComm(event *Event, misc uint16, body []byte) (bool, error) {
	if len(body) < 8 {
		return false, fmt.Errorf("comm: %w", errShortRecord)
	}
	event.Kind = Exec
	event.PID = binary.NativeEndian.Uint32(body)
	event.Name = cString(body[8:])
	return misc&unix.PERF_RECORD_MISC_COMM_EXEC != 0, nil
}

func parseMmap2(event *Event, misc uint16, body []byte) (bool, error) {
	if len(body) < mmap2RecordSize {
		return false, fmt.Errorf("mmap2: %w", errShortRecord)
	}
	event.Kind = Map
	event.PID = binary.NativeEndian.Uint32(body)
	start := binary.NativeEndian.Uint64(body[8:])
	length := binary.NativeEndian.Uint64(body[16:])
	if start+length < start {
		return false, fmt.Errorf("mmap2: a mapping of %d bytes at %#x wraps around", length, start)
	}
	mapping := Mapping{
		Start:  start,
		End:    start + length,
		Offset: binary.NativeEndian.Uint64(body[24:]),
		Path:   cString(body[mmap2RecordSize:]),
	}
	if file := body[32:56]; misc&unix.PERF_RECORD_MISC_MMAP_BUILD_ID != 0 {
		size := min(int(file[0]), maxBuildID)
		mapping.File.BuildID = hex.EncodeToString(file[4 : 4+size])
	} else {
		mapping.File.Major = binary.NativeEndian.Uint32(file)
		mapping.File.Minor = binary.NativeEndian.Uint32(file[4:])
		mapping.File.Inode = binary.NativeEndian.Uint64(file[8:])
		mapping.File.InodeGeneration = binary.NativeEndian.Uint64(file[16:])
	}
	event.Mapping = mapping
	// A kernel thread's record (kernel text, modules) has PID -1.
	return event.PID != ^uint32(0), nil
}

func cString(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}
