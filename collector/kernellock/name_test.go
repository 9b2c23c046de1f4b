package kernellock_test

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/narrows-profiler/narrows/collector/kernellock"
)

// offset is where a member lies in one of the kernel's types; the parts of the path are
// members of named structs.
func offset(t *testing.T, types *btf.Spec, path ...string) uint32 {
	t.Helper()
	var at uint32
	for i := 0; i < len(path); i += 2 {
		var s *btf.Struct
		if err := types.TypeByName(path[i], &s); err != nil {
			t.Skipf("this kernel has no %s: %v", path[i], err)
		}
		off, ok := member(s.Members, path[i+1])
		if !ok {
			t.Skipf("this kernel's %s has no %s", path[i], path[i+1])
		}
		at += off
	}
	return at
}

func member(members []btf.Member, name string) (uint32, bool) {
	for _, m := range members {
		if m.Name == name {
			return m.Offset.Bytes(), true
		}
		if m.Name != "" {
			continue
		}
		var inner []btf.Member
		switch t := m.Type.(type) {
		case *btf.Struct:
			inner = t.Members
		case *btf.Union:
			inner = t.Members
		}
		if at, ok := member(inner, name); ok {
			return m.Offset.Bytes() + at, true
		}
	}
	return 0, false
}

func kernelTypes(t *testing.T) *btf.Spec {
	t.Helper()
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip("this kernel publishes no types: ", err)
	}
	return types
}

const (
	spin  = kernellock.Spin
	read  = kernellock.Read
	write = kernellock.Write
	mutex = kernellock.Mutex
)

func TestNamesByField(t *testing.T) {
	types := kernelTypes(t)
	namer := kernellock.NewNamer(kernellock.Sources{Types: types})
	for _, test := range []struct {
		cache string
		path  []string
		flags kernellock.Flags
		want  string
	}{
		{"mm_struct", []string{"mm_struct", "mmap_lock"}, read, "mm_struct.mmap_lock"},
		{"mm_struct", []string{"mm_struct", "mmap_lock", "rw_semaphore", "wait_lock"}, spin, "mm_struct.mmap_lock.wait_lock"},
		{"mm_struct", []string{"mm_struct", "page_table_lock"}, spin, "mm_struct.page_table_lock"},
		{"task_struct", []string{"task_struct", "pi_lock"}, spin, "task_struct.pi_lock"},
		{"task_struct", []string{"task_struct", "alloc_lock"}, spin, "task_struct.alloc_lock"},
		{"sighand_cache", []string{"sighand_struct", "siglock"}, spin, "sighand_struct.siglock"},
		{"signal_cache", []string{"signal_struct", "cred_guard_mutex"}, mutex, "signal_struct.cred_guard_mutex"},
		{"files_cache", []string{"files_struct", "file_lock"}, spin, "files_struct.file_lock"},
		{"inode_cache", []string{"inode", "i_rwsem"}, write, "inode.i_rwsem"},
		{"inode_cache", []string{"inode", "i_lock"}, spin, "inode.i_lock"},
		{"shmem_inode_cache", []string{"shmem_inode_info", "vfs_inode", "inode", "i_rwsem"}, write, "inode.i_rwsem"},
		{"dentry", []string{"dentry", "d_lockref"}, spin, "dentry.d_lockref.lock"},
		{"sock_inode_cache", []string{"socket_alloc", "socket", "socket", "wq", "socket_wq", "wait"}, spin, "socket_wq.wait.lock"},
		// What is no lock of that kind there is no name.
		{"mm_struct", []string{"mm_struct", "mmap_lock"}, mutex, "mutex in f (mm_struct)"},
		{"inode_cache", []string{"inode", "i_mode"}, spin, "spinlock in f (inode_cache)"},
	} {
		t.Run(test.cache+" "+strings.Join(test.path, "."), func(t *testing.T) {
			e := kernellock.Event{Lock: 0xffff888000001000, Kind: test.flags, Cache: test.cache, Offset: offset(t, types, test.path...)}
			if lock := namer.Name(e, "f"); lock.Name != test.want || lock.Single {
				t.Errorf("%s+%#x is called %+v, want %s", test.cache, e.Offset, lock, test.want)
			}
		})
	}
}

const symbols = `ffffffff81000000 T _text
ffffffff81000100 t some_function
ffffffff82000000 D cgroup_mutex
ffffffff82000020 d table
ffffffff82001000 R constant
ffffffff82002000 b last
ffffffffc0001000 t module_function	[ext4]
ffffffffc0002000 d module_lock	[ext4]
ffffffffc0002040 t module_end	[ext4]
`

func TestNamesBySymbol(t *testing.T) {
	namer := kernellock.NewNamer(kernellock.Sources{Symbols: strings.NewReader(symbols)})
	for _, test := range []struct {
		address uint64
		caller  string
		want    string
		single  bool
	}{
		{0xffffffff82000000, "f", "cgroup_mutex", true},
		{0xffffffff82000028, "f", "table+0x8", true},
		{0xffffffffc0002000, "f", "module_lock", true},
		{0xffffffff82001000, "f", "mutex in f", false},   // no variable
		{0xffffffff82002000 + 1<<20, "", "mutex", false}, // too far from any
		{0xffff888000000000, "kernfs_get", "mutex in kernfs_get", false},
		{0xfffffffffffffff0, "f", "mutex in f", false},
	} {
		lock := namer.Name(kernellock.Event{Lock: test.address, Kind: mutex}, test.caller)
		if lock.Name != test.want || lock.Single != test.single {
			t.Errorf("%#x is called %+v, want %s", test.address, lock, test.want)
		}
	}
}

func TestNamesOfRunQueues(t *testing.T) {
	seen := watch(t, 0, func() {})
	t.Log(seen.queues)
	if len(seen.queues) == 0 {
		t.Fatal("no run queue was found")
	}
	namer := kernellock.NewNamer(kernellock.Sources{Types: kernelTypes(t), Queues: seen.queues})
	for _, q := range seen.queues {
		if lock := namer.Name(kernellock.Event{Lock: q.Address, Kind: spin}, "f"); !strings.HasPrefix(lock.Name, "rq.__lock of CPU ") || !lock.Single {
			t.Errorf("the lock of a run queue is called %+v", lock)
		}
	}
	if lock := namer.Name(kernellock.Event{Lock: seen.queues[0].Address - 64, Kind: spin}, "f"); lock.Name != "spinlock in f" {
		t.Errorf("a lock before a run queue is called %+v", lock)
	}
}

func TestKinds(t *testing.T) {
	for flags, want := range map[kernellock.Flags]string{
		0: "semaphore", spin: "spinlock", spin | read: "rwlock", spin | write: "rwlock", read: "rwsem", write: "rwsem", mutex: "mutex",
		kernellock.PerCPU | read: "percpu-rwsem", kernellock.PerCPU | write: "percpu-rwsem",
		kernellock.RealTime: "rtmutex", kernellock.RealTime | write: "rwsem",
	} {
		if kind := flags.Kind(); kind != want {
			t.Errorf("flags %d are of a %s, want %s", flags, kind, want)
		}
	}
}

// functions are names by address.
type functions []string

func (f functions) Lookup(address uint64) (name, module string, ok bool) {
	if address >= uint64(len(f)) {
		return "", "", false
	}
	return f[address], "", true
}

func TestFrames(t *testing.T) {
	for _, test := range []struct {
		stack  []string
		want   string // the innermost frame that is left
		caller string
	}{
		{[]string{"bpf_prog_1_end_contention", "bpf_trace_run2", "__traceiter_contention_end", "__pv_queued_spin_lock_slowpath", "_raw_spin_lock", "raw_spin_rq_lock_nested", "__schedule", "schedule"}, "__pv_queued_spin_lock_slowpath", "__schedule"},
		{[]string{"bpf_prog_1", "__mutex_lock.constprop.0", "__mutex_lock_slowpath", "mutex_lock", "pipe_write", "vfs_write"}, "__mutex_lock.constprop.0", "pipe_write"},
		{[]string{"bpf_prog_1", "rwsem_down_write_slowpath", "down_write", "ext4_buffered_write_iter"}, "rwsem_down_write_slowpath", "ext4_buffered_write_iter"},
		{[]string{"bpf_prog_1", "__down_common", "down", "downloader"}, "__down_common", "downloader"},
		{[]string{"schedule", "pipe_read"}, "schedule", "schedule"},
	} {
		frames := kernellock.NewFrames(functions(test.stack))
		stack := make([]uint64, len(test.stack))
		for i := range stack {
			stack[i] = uint64(i)
		}
		trimmed := frames.Trim(stack)
		if got := test.stack[trimmed[0]]; got != test.want {
			t.Errorf("%v begins with %s, want %s", test.stack, got, test.want)
		}
		if caller := frames.Caller(trimmed); caller != test.caller {
			t.Errorf("%v is of %s, want %s", test.stack, caller, test.caller)
		}
	}
	frames := kernellock.NewFrames(functions{"_raw_spin_lock", "handle_mm_fault", "exc_page_fault", "handle_softirqs", "asm_sysvec_call_function"})
	for _, test := range []struct {
		stack []uint64
		want  bool
	}{{[]uint64{0, 1, 2}, false}, {[]uint64{0, 3, 4}, true}, {nil, false}} {
		if got := frames.Interrupted(test.stack); got != test.want {
			t.Errorf("of %v it is %t that an interrupt waited", test.stack, got)
		}
	}
	if caller := kernellock.NewFrames(nil).Caller([]uint64{1, 2}); caller != "" {
		t.Errorf("without names the caller is %q", caller)
	}
}
