package session

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LocalHost describes the machine this process runs on.
func LocalHost() (Host, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return Host{}, fmt.Errorf("asking for the kernel's name: %w", err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Host{}, fmt.Errorf("asking for the memory's size: %w", err)
	}
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return Host{}, fmt.Errorf("asking for the CPUs: %w", err)
	}
	cpus, err := countCPUs(strings.TrimSpace(string(online)))
	if err != nil {
		return Host{}, fmt.Errorf("reading the list of CPUs: %w", err)
	}
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Host{}, fmt.Errorf("asking for the boot's ID: %w", err)
	}
	_, btfErr := os.Stat("/sys/kernel/btf/vmlinux")
	return Host{
		Hostname:    unix.ByteSliceToString(uts.Nodename[:]),
		Kernel:      unix.ByteSliceToString(uts.Release[:]),
		Machine:     unix.ByteSliceToString(uts.Machine[:]),
		CPUsOnline:  cpus,
		MemoryBytes: uint64(info.Totalram) * uint64(info.Unit),
		BootID:      strings.TrimSpace(string(bootID)),
		BTF:         btfErr == nil,
	}, nil
}

// countCPUs counts a kernel CPU list such as "0-3,8,10-11"
// (Documentation/admin-guide/cputopology.rst).
func countCPUs(list string) (int, error) {
	count := 0
	for item := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(item, "-")
		low, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return 0, err
		}
		high := low
		if isRange {
			if high, err = strconv.ParseUint(last, 10, 16); err != nil {
				return 0, err
			}
		}
		if high < low {
			return 0, fmt.Errorf("the range %q runs backwards", item)
		}
		count += int(high-low) + 1
	}
	return count, nil
}
