// Package features tests that a kernel has what Narrows' collector counts on: each feature by using it, against something known another way.
package features

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// series returns the kernel's major and minor version, as the harness says it, or skips outside a test machine: hosts need not have all of this.
func series(t *testing.T) (major, minor int) {
	t.Helper()
	text := os.Getenv("NARROWS_TEST_KERNEL")
	if text == "" {
		t.Skip("NARROWS_TEST_KERNEL is not set: only for test machines")
	}
	first, second, _ := strings.Cut(text, ".")
	major, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if minor, err = strconv.Atoi(second); err != nil {
		t.Fatal(err)
	}
	return major, minor
}

// release is what uname -r says.
func release(t *testing.T) string {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(name.Release[:])
}

func TestKernelIsTheOneAskedFor(t *testing.T) {
	series(t)
	if want := os.Getenv("NARROWS_TEST_KERNEL") + "."; !strings.HasPrefix(release(t), want) {
		t.Errorf("uname says %s, want %s*", release(t), want)
	}
	t.Logf("running on %s", release(t))
}

func TestTypesAreThere(t *testing.T) {
	series(t)
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	var task *btf.Struct
	if err := spec.TypeByName("task_struct", &task); err != nil {
		t.Fatal(err)
	}
	if task.Size < 1024 {
		t.Errorf("task_struct has %d bytes", task.Size)
	}
}

func TestKernelSymbolsHaveAddresses(t *testing.T) {
	series(t)
	text, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		field := strings.Fields(line)
		if len(field) >= 3 && (field[2] == "_stext" || field[2] == "schedule" || field[2] == "_etext") {
			if found[field[2]], err = strconv.ParseUint(field[0], 16, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found["_stext"] == 0 || found["schedule"] <= found["_stext"] || found["_etext"] <= found["schedule"] {
		t.Errorf("schedule at %#x is not inside the kernel's text %#x to %#x", found["schedule"], found["_stext"], found["_etext"])
	}
}

// The collector computes losses from idle time, and idle processors must be without ticks as they are on a host.
func TestConfiguration(t *testing.T) {
	series(t)
	text, err := os.ReadFile("/boot/config-" + release(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{
		"NO_HZ_COMMON", "DEBUG_INFO_BTF", "BPF_SYSCALL", "BPF_JIT", "BPF_EVENTS", "PERF_EVENTS", "UPROBES", "UPROBE_EVENTS", "FTRACE_SYSCALLS", "KALLSYMS_ALL", "CGROUP_PERF", "PSI",
	} {
		if !strings.Contains("\n"+string(text), "\nCONFIG_"+option+"=y\n") {
			t.Errorf("CONFIG_%s is not built in", option)
		}
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "CONFIG_NO_HZ") || strings.HasPrefix(line, "CONFIG_HZ=") || strings.Contains(line, "CONFIG_FPROBE") {
			t.Log(strings.TrimSpace(line))
		}
	}
}
