package process

import (
	"testing"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
)

// story replays events against a table and asks it about samples.
type story struct {
	*testing.T
	table *Table
	time  uint64
	files map[string]*Binary
}

func tell(t *testing.T, scanned ...Scanned) *story {
	return &story{T: t, table: NewTable(scanned, nil), files: map[string]*Binary{}}
}

func (s *story) file(path string) *Binary {
	if s.files[path] == nil {
		s.files[path] = &Binary{Path: path}
	}
	return s.files[path]
}

func (s *story) fork(parent, pid uint32) {
	s.time += 1e9
	s.table.Apply(lifecycle.Event{Time: s.time, Kind: lifecycle.Fork, PID: pid, Parent: parent}, nil, "", 0)
}

func (s *story) exec(pid uint32) {
	s.time += 1e9
	s.table.Apply(lifecycle.Event{Time: s.time, Kind: lifecycle.Exec, PID: pid}, nil, "", 0)
}

func (s *story) mmap(pid uint32, start, end uint64, path string) {
	s.time++
	m := lifecycle.Mapping{Start: start, End: end, Path: path}
	s.table.Apply(lifecycle.Event{Time: s.time, Kind: lifecycle.Map, PID: pid, Mapping: m}, s.file(path), "", 0)
}

func (s *story) exit(pid uint32) {
	s.time += 1e9
	s.table.Apply(lifecycle.Event{Time: s.time, Kind: lifecycle.Exit, PID: pid}, nil, "", 0)
}

// expect says which file a sample at the address must be found in, "" for none.
func (s *story) expect(id Identity, address uint64, path string) {
	s.Helper()
	s.time++
	m, ok := s.table.Process(id, s.time).Find(address)
	switch {
	case !ok && path != "":
		s.Errorf("address %#x of %+v is in no mapping, want %s", address, id, path)
	case ok && path == "":
		s.Errorf("address %#x of %+v is in %s, want none", address, id, m.Binary.Path)
	case ok && m.Binary.Path != path:
		s.Errorf("address %#x of %+v is in %s, want %s", address, id, m.Binary.Path, path)
	}
}

func TestForkInheritsAndExecForgets(t *testing.T) {
	s := tell(t)
	s.fork(1, 10)
	s.exec(10)
	s.mmap(10, 0x1000, 0x2000, "/bin/parent")
	s.fork(10, 11)
	parent, child := Identity{10, 5, 1}, Identity{11, 6, 1}
	s.expect(parent, 0x1800, "/bin/parent")
	s.expect(child, 0x1800, "/bin/parent")
	s.mmap(11, 0x5000, 0x6000, "/lib/plugin")
	s.expect(child, 0x5000, "/lib/plugin")
	s.expect(parent, 0x5000, "") // what the child maps later is its own
	s.exec(11)
	child.Generation = 2
	s.expect(child, 0x1800, "")
	s.mmap(11, 0x1000, 0x2000, "/bin/child")
	s.expect(child, 0x1800, "/bin/child")
	s.expect(parent, 0x1800, "/bin/parent")
	if m := s.table.Mistakes(); m != (Mistakes{}) {
		t.Errorf("mistakes in a story without gaps: %+v", m)
	}
}

func TestReusedPIDHasItsOwnMappings(t *testing.T) {
	s := tell(t)
	s.fork(1, 10)
	s.exec(10)
	s.mmap(10, 0x1000, 0x2000, "/bin/first")
	s.expect(Identity{10, 100, 1}, 0x1000, "/bin/first")
	s.exit(10)
	s.expect(Identity{10, 100, 1}, 0x1000, "/bin/first") // still working in the kernel
	s.fork(1, 10)
	s.exec(10)
	s.mmap(10, 0x1000, 0x2000, "/bin/second")
	s.expect(Identity{10, 200, 1}, 0x1000, "/bin/second")
}

func TestLostRecordsLeaveNamelessNotWrong(t *testing.T) {
	s := tell(t)
	s.fork(1, 10)
	s.exec(10)
	s.mmap(10, 0x1000, 0x2000, "/bin/first")
	s.expect(Identity{10, 100, 1}, 0x1000, "/bin/first")
	s.time += 1e9
	s.expect(Identity{10, 200, 1}, 0x1000, "") // another process has the PID
	s.expect(Identity{10, 200, 3}, 0x1000, "") // which has executed something
	s.expect(Identity{77, 300, 0}, 0x1000, "")
	if want := (Mistakes{UnknownProcess: 1, MissedFork: 1, MissedExec: 1}); s.table.Mistakes() != want {
		t.Errorf("mistakes %+v, want %+v", s.table.Mistakes(), want)
	}
}

// A tick inside execve comes after the record and before the kernel raises the
// generation; it must not look like another exec.
func TestSampleInsideExec(t *testing.T) {
	s := tell(t)
	s.fork(1, 10)
	s.expect(Identity{10, 100, 4}, 0x1000, "")
	s.exec(10)
	s.expect(Identity{10, 100, 4}, 0x1000, "")
	s.mmap(10, 0x1000, 0x2000, "/bin/program")
	s.expect(Identity{10, 100, 5}, 0x1000, "/bin/program")

	s.fork(1, 20)
	s.exec(20) // nothing was known of its generation before
	s.expect(Identity{20, 300, 4}, 0x1000, "")
	s.mmap(20, 0x1000, 0x2000, "/bin/other")
	s.expect(Identity{20, 300, 5}, 0x1000, "/bin/other")
	if m := s.table.Mistakes(); m != (Mistakes{}) {
		t.Errorf("mistakes: %+v", m)
	}
}

// dlclose leaves no record, but whatever is mapped over its place does.
func TestMappingOverAnother(t *testing.T) {
	s := tell(t)
	s.fork(1, 10)
	id := Identity{10, 100, 0}
	s.mmap(10, 0x1000, 0x9000, "/lib/old")
	s.mmap(10, 0x3000, 0x5000, "/lib/new")
	s.expect(id, 0x2fff, "/lib/old")
	s.expect(id, 0x3000, "/lib/new")
	s.expect(id, 0x4fff, "/lib/new")
	s.expect(id, 0x5000, "/lib/old")
	s.expect(id, 0x9000, "")
	m, _ := s.table.Process(id, s.time).Find(0x5000)
	if m.Offset != 0x4000 {
		t.Errorf("the rest of the old mapping begins at offset %#x, want 0x4000", m.Offset)
	}
	s.mmap(10, 0x1000, 0x9000, "/lib/whole")
	s.expect(id, 0x5000, "/lib/whole")
}

func TestAssignmentsFollowTheFamily(t *testing.T) {
	s := tell(t, Scanned{PID: 1}, Scanned{PID: 10, Parent: 1}, Scanned{PID: 11, Parent: 10}, Scanned{PID: 12, Parent: 1})
	s.table.Assign(10, Assignment{Service: "vault"})
	s.fork(11, 13)
	s.exec(13)
	s.table.Assign(20, Assignment{Selected: true}) // not yet there
	s.fork(12, 20)
	for pid, want := range map[uint32]string{1: "", 10: "vault", 11: "vault", 12: "", 13: "vault", 20: ""} {
		p := s.table.Process(Identity{PID: pid, Start: uint64(pid)}, s.time)
		if p.Service != want || p.Selected != (pid == 20) {
			t.Errorf("process %d: service %q selected %v, want %q", pid, p.Service, p.Selected, want)
		}
	}
}

func TestSweepKeepsTheLiving(t *testing.T) {
	s := tell(t, Scanned{PID: 1}, Scanned{PID: 2})
	s.exit(2)
	s.table.Sweep(s.time + keepExited)
	if s.table.Len() != 2 {
		t.Error("forgotten too early")
	}
	s.table.Sweep(s.time + keepExited + 1)
	if s.table.Len() != 1 {
		t.Errorf("%d processes, want the living one", s.table.Len())
	}
}

func TestContainerOfCgroup(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for path, want := range map[string]string{
		"0::/":                   "",
		"4:memory:/docker/" + id: id[:12],
		"0::/system.slice/docker-" + id + ".scope":                                id[:12],
		"0::/kubepods.slice/kubepods-pod12.slice/cri-containerd-" + id + ".scope": id[:12],
		"0::/machine.slice/libpod-" + id + ".scope/container":                     id[:12],
		"0::/user.slice/user-1000.slice":                                          "",
		"0::/docker/" + id[:63]:                                                   "",
	} {
		if got := containerIn(path); got != want {
			t.Errorf("%s: container %q, want %q", path, got, want)
		}
	}
}

// Processes that were forked without an exec run their ancestor's program.
func TestProgram(t *testing.T) {
	s := tell(t,
		Scanned{PID: 1, Executable: "/sbin/init"}, Scanned{PID: 2},
		Scanned{PID: 10, Parent: 1, Executable: "/usr/bin/server"},
		Scanned{PID: 11, Parent: 10, Executable: "/usr/bin/server"}, Scanned{PID: 12, Parent: 11, Executable: "/usr/bin/server"},
		Scanned{PID: 13, Parent: 10, Executable: "/usr/bin/archiver"},
		Scanned{PID: 14, Parent: 2}, Scanned{PID: 15, Parent: 14},
	)
	s.fork(11, 20)
	s.fork(20, 21)
	s.fork(10, 22)
	s.exec(22)
	s.fork(22, 23)
	s.fork(2, 24)
	s.fork(99, 25) // whose parent nobody knows
	for pid, want := range map[uint32]uint32{1: 1, 10: 10, 11: 10, 12: 10, 13: 13, 14: 14, 15: 15, 20: 10, 21: 10, 22: 22, 23: 22, 24: 24, 25: 99} {
		if got := s.table.Known(pid).Program; got != want {
			t.Errorf("process %d runs the program of %d, want %d", pid, got, want)
		}
	}
}
