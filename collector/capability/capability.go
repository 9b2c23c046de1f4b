// Package capability knows what the collector uses of a kernel and of this
// process's privileges, and tells for each whether it is there, what it is for,
// and what to do where it is missing.
//
// Every check tries the real thing (loads the real program, opens the real event)
// and leaves nothing behind. Nothing on the host is changed.
package capability

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/cgroup"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/fault"
	"github.com/narrows-profiler/narrows/collector/futex"
	"github.com/narrows-profiler/narrows/collector/kernelalloc"
	"github.com/narrows-profiler/narrows/collector/kernellock"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/wait"
)

// Capability is one thing the collector uses.
type Capability struct {
	Name string
	For  string // what it is used for
	// Required says that nothing can be recorded without it.
	Required bool
	// Remedy is what to do where it is missing.
	Remedy string

	check func() (detail string, err error)
}

// Result is what became of a check.
type Result struct {
	Capability
	Detail string // what was found, if there is something to say
	Err    error  // why it is not there, nil if it is
}

// Check tries every capability, in order of importance.
func Check() []Result {
	var results []Result
	for _, c := range All() {
		detail, err := c.check()
		results = append(results, Result{Capability: c, Detail: detail, Err: err})
	}
	return results
}

// All is every capability the collector uses.
func All() []Capability {
	capabilities := []Capability{
		{
			Name: "root", For: "loading eBPF programs, reading every process's mappings", Required: true,
			Remedy: "run it with sudo", check: checkRoot,
		},
		{
			Name: "kernel", For: "all programs are written for it", Required: true,
			Remedy: "use Linux 6.1 or later", check: checkKernel,
		},
		{
			Name: "BTF", For: "fitting the programs to this kernel's types", Required: true,
			Remedy: "use a kernel with CONFIG_DEBUG_INFO_BTF=y", check: checkFile("/sys/kernel/btf/vmlinux"),
		},
		{
			Name: "ring buffer", For: "events on their way out of the kernel", Required: true,
			Remedy: "allow bpf(2): root outside of a container, or CAP_BPF and CAP_PERFMON", check: checkCore,
		},
		{
			Name: "CPU sampling program", For: "stacks at each tick", Required: true,
			Remedy: "the verifier refused it: please report the error with your kernel's version", check: checkCPUProgram,
		},
		{
			Name: "process records", For: "forks, execs and mappings, as they happen", Required: true,
			Remedy: "needs CAP_PERFMON and kernel.perf_event_paranoid below 4", check: checkLifecycle,
		},
		{
			Name: "initial PID namespace", For: "matching samples to processes", Required: true,
			Remedy: "in a container, share the host's: docker run --pid=host", check: checkPIDNamespace,
		},
	}
	for i, source := range cpu.Sources() {
		capabilities = append(capabilities, Capability{
			Name: "event " + source.Name, For: "ticks of the CPU sampler", Required: i == len(cpu.Sources())-1,
			Remedy: fmt.Sprintf("needs %s; in a virtual machine that may not exist, and the next source is used", source.Needs),
			check:  func() (string, error) { return "", source.Probe() },
		})
	}
	return append(capabilities,
		Capability{
			Name: "hook on forks", For: "unwinding forked processes in the kernel from their first sample",
			Remedy: "without it their first stacks are unwound in user space, which is slower", check: checkForks,
		},
		Capability{
			Name: "waits", For: "where threads wait, and who wakes them",
			Remedy: "without it only CPU time is recorded: please report the error with your kernel's version", check: opens(wait.Backend, wait.Open),
		},
		Capability{
			Name: "locks of user space", For: "which locks threads wait for, and who holds them",
			Remedy: "mount tracefs: mount -t tracefs nodev /sys/kernel/tracing", check: opens(futex.Backend, futex.Open),
		},
		Capability{
			Name: "locks of the kernel", For: "which locks of the kernel threads wait for",
			Remedy: "without it they are seen as waits alone: please report the error with your kernel's version", check: opens(kernellock.Backend, kernellock.Open),
		},
		Capability{
			Name: "page faults", For: "which code makes memory resident",
			Remedy: "without it that is not recorded: page faults have tracepoints on x86-64 only", check: opens(fault.Backend, fault.Open),
		},
		Capability{
			Name: "allocations of the kernel", For: "record --kernel-alloc: where the kernel allocates memory for itself, and what it never frees",
			Remedy: "without it that is not recorded: please report the error with your kernel's version", check: opens(kernelalloc.Backend, openKernelAllocs),
		},
		Capability{
			Name: "kernel symbols", For: "names of kernel functions",
			Remedy: "set kernel.kptr_restrict to 0 or 1 (sysctl), or accept addresses", check: checkKernelSymbols,
		},
		Capability{
			Name: "eBPF run-time statistics", For: "what the programs themselves cost", Required: true,
			Remedy: "needs CAP_SYS_ADMIN", check: checkStatistics,
		},
		Capability{
			Name: "idle time of the CPUs", For: "computing what samples missed", Required: true,
			Remedy: "mount /proc", check: checkIdleTime,
		},
		Capability{
			Name: "cgroup v2", For: "record --cgroup",
			Remedy: "mount it: mount -t cgroup2 none /sys/fs/cgroup", check: cgroup.Root,
		},
	)
}

func checkRoot() (string, error) {
	if uid := os.Geteuid(); uid != 0 {
		return "", fmt.Errorf("running as user %d", uid)
	}
	return "", nil
}

func checkKernel() (string, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "", fmt.Errorf("asking for the release: %w", err)
	}
	release := unix.ByteSliceToString(uts.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return release, fmt.Errorf("reading the release %q: %w", release, err)
	}
	if major < 6 || major == 6 && minor < 1 {
		return release, fmt.Errorf("this is %s", release)
	}
	return release, nil
}

func checkFile(path string) func() (string, error) {
	return func() (string, error) {
		_, err := os.Stat(path)
		return path, err
	}
}

func checkCore() (string, error) {
	c, err := core.Load(0)
	if err != nil {
		return "", err
	}
	return "", c.Close()
}

func checkCPUProgram() (string, error) {
	var objects bpf.CPUObjects
	err := bpf.LoadCPUObjects(&objects, nil)
	if err != nil {
		var refused *ebpf.VerifierError
		if errors.As(err, &refused) {
			return "", fmt.Errorf("%+v", refused)
		}
		return "", err
	}
	return "", objects.Close()
}

// opens tries programs that need the shared maps.
func opens[W io.Closer](backend string, open func(*core.Core) (W, error)) func() (string, error) {
	return func() (string, error) {
		c, err := core.Load(0)
		if err != nil {
			return "", err
		}
		w, err := open(c)
		if err != nil {
			return "", errors.Join(err, c.Close())
		}
		return backend, errors.Join(w.Close(), c.Close())
	}
}

func openKernelAllocs(c *core.Core) (*kernelalloc.Watcher, error) {
	return kernelalloc.Open(c, kernelalloc.DefaultMean)
}

func checkForks() (string, error) {
	c, err := core.Load(0)
	if err != nil {
		return "", err
	}
	forks, err := unwind.OpenForks(c)
	return forks.Backend, errors.Join(err, forks.Close(), c.Close())
}

func checkLifecycle() (string, error) {
	s, err := lifecycle.Open([]int{0})
	if err != nil {
		return "", err
	}
	return "", s.Close()
}

// The inode of the initial PID namespace is fixed: PROC_PID_INIT_INO in
// include/linux/proc_ns.h.
func checkPIDNamespace() (string, error) {
	const initial = "pid:[4026531836]"
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", err
	}
	if namespace != initial {
		return namespace, fmt.Errorf("this is %s", namespace)
	}
	return "", nil
}

func checkKernelSymbols() (string, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return "", err
	}
	defer f.Close()
	start := make([]byte, 16)
	if _, err := io.ReadFull(f, start); err != nil {
		return "", err
	}
	if strings.Trim(string(start), "0") == "" {
		return "", errors.New("the addresses are hidden")
	}
	return "", nil
}

func checkStatistics() (string, error) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return "", err
	}
	return "", stats.Close()
}

func checkIdleTime() (string, error) {
	clock, err := accounting.NewClock()
	if err != nil {
		return "", err
	}
	reading, err := clock.Read()
	return fmt.Sprintf("%d CPUs", len(reading.CPUs)), err
}
