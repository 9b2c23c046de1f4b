package futex

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/narrows-profiler/narrows/collector/process"
)

// A process writes into its locks what its threads are called in its own PID namespace.
// Threads that waited have said what that is; others are looked for in /proc.

// lookAgain is how long it is believed that a process has no thread of some number.
const lookAgain = time.Second

// maxMissing bounds how many numbers are remembered that no thread has.
const maxMissing = 1000

// maxStatus bounds what is read of a thread's status.
const maxStatus = 16 << 10

type owners struct {
	processes map[process.Identity]*threads
	root      string // of proc
	now       func() time.Time
}

type threads struct {
	tids    map[uint32]uint32    // by number in the namespace
	missing map[uint32]time.Time // when it was found that there is none of that number
	looked  time.Time            // when all were looked at
	used    bool                 // since the last call of forget
}

func newOwners() owners {
	return owners{processes: map[process.Identity]*threads{}, root: "/proc", now: time.Now}
}

func (o *owners) of(p process.Identity) *threads {
	t := o.processes[p]
	if t == nil {
		t = &threads{tids: map[uint32]uint32{}, missing: map[uint32]time.Time{}}
		o.processes[p] = t
	}
	t.used = true
	return t
}

func (o *owners) see(t process.Thread, namespaceTID uint32) {
	if namespaceTID != 0 {
		o.of(t.Identity).tids[namespaceTID] = t.TID
	}
}

// find is the thread of the same process as one that is called namespaceTID in its namespace.
func (o *owners) find(waiter process.Thread, namespaceTID, owner uint32) (uint32, bool) {
	if owner == 0 {
		return 0, false
	}
	of := o.of(waiter.Identity)
	if tid, ok := of.tids[owner]; ok {
		return tid, true
	}
	now := o.now()
	if now.Sub(of.missing[owner]) < lookAgain {
		return 0, false
	}
	if waiter.TID == namespaceTID {
		// It is in no namespace of its own, where numbers are what they are.
		if _, err := os.Stat(fmt.Sprintf("%s/%d/task/%d", o.root, waiter.PID, owner)); err == nil {
			of.tids[owner] = owner
			return owner, true
		}
	} else if now.Sub(of.looked) >= lookAgain {
		of.looked = now
		o.look(waiter.PID, of)
	}
	tid, ok := of.tids[owner]
	if !ok {
		if len(of.missing) >= maxMissing {
			clear(of.missing)
		}
		of.missing[owner] = now
	}
	return tid, ok
}

// look reads what all threads of a process are called. Those that end meanwhile are left out.
func (o *owners) look(pid uint32, of *threads) {
	tasks := fmt.Sprintf("%s/%d/task", o.root, pid)
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return
	}
	for _, entry := range entries {
		tid, err := strconv.ParseUint(entry.Name(), 10, 32)
		if err != nil {
			continue
		}
		status, err := readSome(tasks + "/" + entry.Name() + "/status")
		if err != nil {
			continue
		}
		if inner, ok := innermost(status); ok {
			of.tids[inner] = uint32(tid)
		}
	}
}

func readSome(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buffer := make([]byte, maxStatus)
	n, err := f.Read(buffer)
	return buffer[:n], err
}

// innermost is the last number of the line NSpid: that in the innermost namespace (proc(5)).
func innermost(status []byte) (uint32, bool) {
	for line := range bytes.Lines(status) {
		rest, ok := bytes.CutPrefix(line, []byte("NSpid:"))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			return 0, false
		}
		n, err := strconv.ParseUint(string(fields[len(fields)-1]), 10, 32)
		return uint32(n), err == nil
	}
	return 0, false
}

// forget drops the processes that were not heard of since the last time.
func (o *owners) forget() {
	for p, t := range o.processes {
		if !t.used {
			delete(o.processes, p)
		}
		t.used = false
	}
}
