package costs

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// Machine is where costs were measured.
type Machine struct {
	Model        string
	CPUs         int
	Kernel       string
	Architecture string
	// Virtual says that this is a virtual machine, "" where nothing tells so.
	Virtual string
}

// String is one line for people.
func (m Machine) String() string {
	s := fmt.Sprintf("%s, %d CPUs, Linux %s %s", cmp.Or(m.Model, "unknown CPU"), m.CPUs, m.Kernel, m.Architecture)
	if m.Virtual != "" {
		s += ", " + m.Virtual
	}
	return s
}

// ThisMachine describes the one this runs on.
func ThisMachine() (Machine, error) {
	host, err := session.LocalHost()
	if err != nil {
		return Machine{}, err
	}
	m := Machine{CPUs: host.CPUsOnline, Kernel: host.Kernel, Architecture: runtime.GOARCH}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return m, fmt.Errorf("opening /proc: %w", err)
	}
	cpus, err := fs.CPUInfo()
	if err != nil {
		return m, fmt.Errorf("reading the CPUs' model: %w", err)
	}
	if len(cpus) > 0 {
		m.Model = cpus[0].ModelName
		m.Virtual = virtual(cpus[0].Flags, hypervisorFiles...)
	}
	return m, nil
}

// hypervisorFiles name the hypervisor where it tells: Xen's own interface, then the
// product name that firmware or the hypervisor put into the tables of the host.
var hypervisorFiles = []string{"/sys/hypervisor/type", "/sys/class/dmi/id/product_name"}

// virtual goes by the flag that CPUID leaf 1 keeps for hypervisors (ECX bit 31).
func virtual(flags []string, files ...string) string {
	if !slices.Contains(flags, "hypervisor") {
		return ""
	}
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil {
			if product := strings.TrimSpace(string(data)); product != "" {
				return fmt.Sprintf("a virtual machine (%s)", product)
			}
		}
	}
	return "a virtual machine"
}
