package process

import (
	"strings"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
)

// Thread is a thread as events name it.
type Thread struct {
	Identity
	TID uint32
	// Name is the thread's name, at most 15 bytes, ProcessName its leader's.
	Name, ProcessName string
	Cgroup            uint64 // id in the v2 hierarchy
}

// ThreadSize is how many bytes of an event name a thread.
const ThreadSize = unsafe.Sizeof(bpf.CoreThreadIdentity{})

// DecodeThread reads a thread from ThreadSize bytes of an event.
func DecodeThread(record []byte) Thread {
	var raw bpf.CoreThreadIdentity
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), ThreadSize), record)
	return Thread{
		Identity: Identity{PID: raw.Tgid, Start: raw.ProcessStart, Generation: raw.ExecGeneration},
		TID:      raw.Tid,
		Name:     commandName(&raw.ThreadName), ProcessName: commandName(&raw.ProcessName),
		Cgroup: raw.Cgroup,
	}
}

// commandName makes a command name valid UTF-8: a process may set any bytes.
func commandName(raw *[16]int8) string {
	b := unsafe.Slice((*byte)(unsafe.Pointer(raw)), len(raw))
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.ToValidUTF8(s, "\uFFFD")
}
