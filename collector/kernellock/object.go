package kernellock

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// structs are the slab caches whose objects are called otherwise than the cache, by their
// type in Linux 6.1 to 6.18.
var structs = map[string]string{
	"sighand_cache": "sighand_struct", "signal_cache": "signal_struct", "files_cache": "files_struct", "fs_cache": "fs_struct",
	"inode_cache": "inode", "ext4_inode_cache": "ext4_inode_info", "sock_inode_cache": "socket_alloc", "shmem_inode_cache": "shmem_inode_info",
	"proc_inode_cache": "proc_inode", "hugetlbfs_inode_cache": "hugetlbfs_inode_info", "mqueue_inode_cache": "mqueue_inode_info",
	"bdev_cache": "bdev_inode", "nfs_inode_cache": "nfs_inode", "fat_inode_cache": "msdos_inode_info", "ovl_inode": "ovl_inode",
	"filp": "file", "mnt_cache": "mount", "kernfs_node_cache": "kernfs_node", "cred_jar": "cred", "eventpoll_epi": "epitem",
	"ep_head": "eventpoll", "blkdev_ioc": "io_context", "radix_tree_node": "xa_node", "skbuff_head_cache": "sk_buff",
	"TCP": "tcp_sock", "TCPv6": "tcp6_sock", "UDP": "udp_sock", "UDPv6": "udp6_sock", "UNIX": "unix_sock", "UNIX-STREAM": "unix_sock",
	"RAW": "raw_sock", "RAWv6": "raw6_sock", "PING": "inet_sock", "AF_VSOCK": "vsock_sock", "io_kiocb": "io_kiocb", "pid": "pid",
	"uid_cache": "user_struct", "kioctx": "kioctx", "perf_event": "perf_event", "task_group": "task_group",
}

// lockTypes are the types that a lock of a kind may be in the kernel's types: the address
// that the tracepoints give is that of one of them.
var lockTypes = map[string][]string{
	kindSpinlock:  {"spinlock", "spinlock_t", "raw_spinlock", "raw_spinlock_t", "qspinlock", "arch_spinlock_t", "rqspinlock", "rqspinlock_t"},
	kindRWLock:    {"rwlock_t", "qrwlock", "arch_rwlock_t"},
	kindRWSem:     {"rw_semaphore", "rwbase_rt"},
	kindPerCPU:    {"percpu_rw_semaphore"},
	kindMutex:     {"mutex"},
	kindRTMutex:   {"rt_mutex_base", "rt_mutex", "spinlock", "spinlock_t"},
	kindSemaphore: {"semaphore"},
}

// parts are types whose locks are named by what they are part of: inode.i_rwsem.wait_lock.
var parts = []string{"mutex", "rw_semaphore", "percpu_rw_semaphore", "semaphore", "rt_mutex", "ww_mutex", "wait_queue_head", "sk_buff_head", "lockref", "spinlock", "qspinlock"}

// types finds fields in the kernel's own types.
type types struct{ spec *btf.Spec }

// field names the lock of a kind at an offset of an object from a slab cache.
func (t types) field(cache string, offset uint32, kind string) (string, bool) {
	if t.spec == nil {
		return "", false
	}
	candidates := []string{structs[cache], cache, strings.TrimSuffix(cache, "_cache"), strings.TrimSuffix(cache, "_cachep")}
	for _, name := range slices.Compact(candidates) {
		if name == "" {
			continue
		}
		if path, ok := t.fieldOf(name, offset, kind); ok {
			return path, true
		}
	}
	return "", false
}

// fieldOf names the lock of a kind at an offset of a struct.
func (t types) fieldOf(name string, offset uint32, kind string) (string, bool) {
	if t.spec == nil {
		return "", false
	}
	var s *btf.Struct
	if err := t.spec.TypeByName(name, &s); err != nil || offset >= s.Size {
		return "", false
	}
	return find(s, offset, lockTypes[kind], "", maxDepth)
}

// maxDepth bounds how far types are nested.
const maxDepth = 16

// find looks for a type of one of the names at an offset of another type. path is how it is
// called so far.
func find(t btf.Type, offset uint32, want []string, path string, depth int) (string, bool) {
	if depth == 0 {
		return "", false
	}
	for {
		if offset == 0 && path != "" && slices.Contains(want, t.TypeName()) {
			return path, true
		}
		inner, ok := alias(t)
		if !ok {
			break
		}
		t = inner
	}
	switch t := t.(type) {
	case *btf.Array:
		size, err := btf.Sizeof(t.Type)
		if err != nil || size == 0 || offset >= uint32(size)*t.Nelems {
			return "", false
		}
		return find(t.Type, offset%uint32(size), want, path, depth-1)
	case *btf.Struct:
		return findMember(t.Name, t.Members, offset, want, path, depth)
	case *btf.Union:
		return findMember(t.Name, t.Members, offset, want, path, depth)
	}
	return "", false
}

func findMember(name string, members []btf.Member, offset uint32, want []string, path string, depth int) (string, bool) {
	if name != "" && (path == "" || !slices.Contains(parts, name)) {
		path = name
	}
	for _, m := range members {
		at := m.Offset.Bytes()
		size, err := btf.Sizeof(m.Type)
		if err != nil || m.BitfieldSize != 0 || offset < at || offset >= at+uint32(size) {
			continue
		}
		child := path
		if m.Name != "" {
			child += "." + m.Name
		}
		if found, ok := find(m.Type, offset-at, want, child, depth-1); ok {
			return found, true
		}
	}
	return "", false
}

// alias is the type that another one only gives a name or a property.
func alias(t btf.Type) (btf.Type, bool) {
	switch t := t.(type) {
	case *btf.Typedef:
		return t.Type, true
	case *btf.Const:
		return t.Type, true
	case *btf.Volatile:
		return t.Type, true
	case *btf.TypeTag:
		return t.Type, true
	}
	return nil, false
}
