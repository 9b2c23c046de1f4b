package cpu

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
)

// maxIdleRanges is MAX_IDLE_RANGES of bpf/cpu.bpf.c.
const maxIdleRanges = 64

// codeRange is struct code_range of bpf/cpu.bpf.c: addresses, the end exclusive.
type codeRange struct {
	Start, End uint64
}

// idleFunctions is where an idle CPU's tick finds it: in the instruction that halts
// or polls, or, where that runs with interrupts off, right behind it where they are
// let in again. What the idle task does elsewhere is work.
var idleFunctions = map[string]bool{
	// All architectures: kernel/sched/idle.c, drivers/cpuidle.
	"cpu_startup_entry": true, "do_idle": true, "default_idle_call": true, "cpu_idle_poll": true,
	"cpuidle_enter": true, "cpuidle_enter_state": true, "cpuidle_idle_call": true, "poll_idle": true,
	"arch_cpu_idle": true, "default_enter_idle": true,
	// x86: arch/x86/kernel/process.c, drivers/idle, drivers/acpi.
	"default_idle": true, "native_safe_halt": true, "pv_native_safe_halt": true, "native_halt": true,
	"mwait_idle": true, "mwait_idle_with_hints": true, "amd_e400_idle": true, "tdx_halt": true, "tdx_safe_halt": true,
	"intel_idle": true, "intel_idle_ibrs": true, "intel_idle_irq": true, "intel_idle_xstate": true, "intel_idle_hlt": true,
	"acpi_safe_halt": true, "acpi_idle_do_entry": true, "acpi_idle_enter": true, "acpi_idle_enter_bm": true,
	"acpi_processor_ffh_cstate_enter": true,
	// arm64: arch/arm64/kernel/idle.c, drivers/cpuidle/cpuidle-psci.c.
	"cpu_do_idle": true, "psci_enter_idle_state": true, "__psci_enter_domain_idle_state": true, "psci_cpu_suspend": true,
}

// idleCode finds these functions in the running kernel. Without readable kernel
// symbols it is empty, and the idle task is never sampled.
func idleCode() []codeRange {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil
	}
	defer f.Close()
	return parseIdleCode(f)
}

// parseIdleCode reads lines of "address type name [module]", in the order of
// addresses: each symbol ends where the next begins. There are more than a hundred
// thousand, and no sample is taken before the last is read.
func parseIdleCode(r io.Reader) []codeRange {
	const longest = 4096 // of a function at a table's end, where the next line is no help
	var ranges []codeRange
	open := false
	lines := bufio.NewScanner(r)
	for lines.Scan() && len(ranges) < maxIdleRanges {
		digits, rest, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		kind, name, ok := bytes.Cut(rest, []byte(" "))
		if !ok {
			continue
		}
		name, _, _ = bytes.Cut(name, []byte("\t")) // of a module
		name, _, _ = bytes.Cut(name, []byte("."))  // the compiler's clones: name.constprop.0
		idles := len(kind) == 1 && (kind[0] == 't' || kind[0] == 'T') && idleFunctions[string(name)]
		if !idles && !open {
			continue
		}
		address, err := strconv.ParseUint(string(digits), 16, 64)
		if err != nil {
			return nil
		}
		if open {
			if last := &ranges[len(ranges)-1]; address > last.Start {
				last.End = min(address, last.Start+longest)
				open = false
			}
		}
		if idles && !open {
			if address == 0 {
				return nil // hidden
			}
			ranges = append(ranges, codeRange{Start: address, End: address + longest})
			open = true
		}
	}
	return ranges
}
