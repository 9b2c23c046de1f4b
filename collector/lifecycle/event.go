// Package lifecycle learns from the kernel's own records what happens to the
// processes of a machine: forks, execs, exits and each executable mapping, with
// the time at which it happened.
//
// The records are those perf itself uses (perf_event_open(2), PERF_RECORD_FORK,
// _COMM, _MMAP2, _EXIT), asked for on every CPU with a software event that counts
// nothing. They need no polling of /proc, arrive for processes too short-lived to
// be seen there, and carry the mapped file's build ID as the kernel read it from
// the mapped pages. munmap is not recorded; a later mapping of the same addresses
// is, and takes their place.
//
// [Open] starts the records, [Stream.Read] delivers them in batches, in order for
// one CPU but not across CPUs: the receiver orders them by time.
package lifecycle

import "fmt"

// Kind tells what happened.
type Kind uint8

// The kinds of events.
const (
	Fork Kind = iota + 1 // a process was created (not a thread)
	Exec                 // a process replaced its program
	Map                  // an executable mapping appeared
	Exit                 // the leader of a thread group ended
)

// Event is one thing that happened to one process.
type Event struct {
	Time uint64 // ns of CLOCK_MONOTONIC
	Kind Kind
	PID  uint32 // the process (thread group), as the initial PID namespace numbers it
	// Parent is the process that forked, for Fork.
	Parent uint32
	// Name is the command name (at most 15 bytes), for Exec.
	Name string
	// Mapping is what was mapped, for Map.
	Mapping Mapping
}

// Mapping is an executable range of a process's memory.
type Mapping struct {
	Start, End uint64 // virtual addresses, End exclusive
	Offset     uint64 // of Start in the file, in bytes
	// Path is the file's path as seen from the process's root, or what the kernel
	// calls it: "[vdso]", "//anon". A file removed since ends in " (deleted)".
	Path string
	File FileIdentity
}

// FileIdentity tells files apart: by the build ID where the kernel found one, else
// by device and inode. The zero value is memory without a file.
type FileIdentity struct {
	BuildID         string // lower-case hex, "" if the kernel found none
	Major, Minor    uint32
	Inode           uint64
	InodeGeneration uint64
}

// String names the identity for logs and errors.
func (f FileIdentity) String() string {
	switch {
	case f.BuildID != "":
		return "build ID " + f.BuildID
	case f.Inode != 0:
		return fmt.Sprintf("inode %d on %d:%d", f.Inode, f.Major, f.Minor)
	}
	return "no file"
}
