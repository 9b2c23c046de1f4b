package features

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// attrBuildID is perf_event_attr's bit build_id (include/uapi/linux/perf_event.h).
const attrBuildID = 1 << 34

// openOnEach opens the event for all processes on each processor.
func openOnEach(t *testing.T, attr unix.PerfEventAttr) []int {
	t.Helper()
	attr.Size = uint32(unsafe.Sizeof(attr))
	var events []int
	for cpu := range runtime.NumCPU() {
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			t.Fatalf("perf_event_open on processor %d: %v", cpu, err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		events = append(events, fd)
	}
	return events
}

func control(t *testing.T, events []int, request uint, value int) {
	t.Helper()
	for _, fd := range events {
		if err := unix.IoctlSetInt(fd, request, value); err != nil {
			t.Fatalf("ioctl %#x: %v", request, err)
		}
	}
}

// A program on the software clock counts its own runs; the kernel's run statistics count them too.
func TestProgramOnSoftwareClockRunsAsOftenAsTheKernelSays(t *testing.T) {
	series(t)
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer counts.Close()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.PerfEvent, License: "GPL", Instructions: asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, counts.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "exit"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	statistics, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Fatalf("BPF_ENABLE_STATS: %v", err)
	}
	defer statistics.Close()

	events := openOnEach(t, unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Sample: 99, Bits: unix.PerfBitFreq | unix.PerfBitDisabled,
	})
	control(t, events, unix.PERF_EVENT_IOC_SET_BPF, program.FD())
	control(t, events, unix.PERF_EVENT_IOC_ENABLE, 0)
	for begin := time.Now(); time.Since(begin) < time.Second; {
	}
	control(t, events, unix.PERF_EVENT_IOC_DISABLE, 0)

	var own uint64
	if err := counts.Lookup(uint32(0), &own); err != nil {
		t.Fatal(err)
	}
	kernels, err := program.Stats()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d runs of the program in a busy second, %v of its time", own, kernels.Runtime)
	if own == 0 || own != kernels.RunCount || kernels.Runtime <= 0 {
		t.Errorf("the program counted %d runs, the kernel %d and %v", own, kernels.RunCount, kernels.Runtime)
	}
}

// ring is a mapped perf buffer.
type ring struct {
	page *unix.PerfEventMmapPage
	data []byte
}

func mapRings(t *testing.T, events []int) []ring {
	t.Helper()
	const pages = 64
	var rings []ring
	for _, fd := range events {
		memory, err := unix.Mmap(fd, 0, (1+pages)*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Munmap(memory); err != nil {
				t.Error(err)
			}
		})
		rings = append(rings, ring{page: (*unix.PerfEventMmapPage)(unsafe.Pointer(&memory[0])), data: memory[os.Getpagesize():]})
	}
	return rings
}

// record is one record without its header.
type record struct {
	kind uint32
	misc uint16
	body []byte
}

// records returns everything in a ring that has not wrapped.
func (r ring) records(t *testing.T) []record {
	t.Helper()
	data := r.data[:r.page.Data_head]
	var all []record
	for len(data) > 0 {
		size := binary.LittleEndian.Uint16(data[6:])
		all = append(all, record{kind: binary.LittleEndian.Uint32(data), misc: binary.LittleEndian.Uint16(data[4:]), body: data[8:size]})
		data = data[size:]
	}
	return all
}

// buildID reads the GNU build ID note of an ELF file.
func buildID(t *testing.T, name string) []byte {
	t.Helper()
	file, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	section := file.Section(".note.gnu.build-id")
	if section == nil {
		t.Fatalf("%s has no build ID", name)
	}
	note, err := section.Data()
	if err != nil || len(note) < 20 {
		t.Fatalf("%s has a note of %d bytes (%v)", name, len(note), err)
	}
	return note[16:] // name size, description size, type, "GNU\0"
}

// The dummy event with its side records tells of a process's fork, exec, mappings with their build IDs, and exit.
func TestDummyEventTellsAProcessLife(t *testing.T) {
	series(t)
	const program = "/bin/busybox"
	events := openOnEach(t, unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY, Sample_type: unix.PERF_SAMPLE_TID | unix.PERF_SAMPLE_TIME | unix.PERF_SAMPLE_CPU,
		Bits: unix.PerfBitMmap | unix.PerfBitMmap2 | unix.PerfBitComm | unix.PerfBitCommExec | unix.PerfBitTask | unix.PerfBitSampleIDAll | unix.PerfBitUseClockID | attrBuildID, Clockid: unix.CLOCK_MONOTONIC,
	})
	rings := mapRings(t, events)
	cmd := exec.Command(program, "true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	control(t, events, unix.PERF_EVENT_IOC_DISABLE, 0)

	pid := uint32(cmd.Process.Pid)
	want := buildID(t, program)
	seen := map[string]bool{}
	for _, ring := range rings {
		for _, r := range ring.records(t) {
			if r.kind == unix.PERF_RECORD_LOST || binary.LittleEndian.Uint32(r.body) != pid {
				continue
			}
			switch r.kind {
			case unix.PERF_RECORD_FORK:
				seen["fork"] = binary.LittleEndian.Uint32(r.body[4:]) == uint32(os.Getpid())
			case unix.PERF_RECORD_COMM:
				seen["exec"] = seen["exec"] || r.misc&unix.PERF_RECORD_MISC_COMM_EXEC != 0 && bytes.HasPrefix(r.body[8:], []byte("busybox\x00"))
			case unix.PERF_RECORD_EXIT:
				seen["exit"] = true
			case unix.PERF_RECORD_MMAP2:
				if r.misc&unix.PERF_RECORD_MISC_MMAP_BUILD_ID == 0 || !bytes.HasPrefix(r.body[64:], []byte(program+"\x00")) {
					continue
				}
				// build_id_size at 32, three reserved bytes, build_id[20] at 36.
				got := r.body[36 : 36+int(r.body[32])]
				if !bytes.Equal(got, want) {
					t.Errorf("a mapping of %s has build ID %x, its note says %x", program, got, want)
				}
				seen["mapping"] = true
			}
		}
	}
	for _, what := range []string{"fork", "exec", "mapping", "exit"} {
		if !seen[what] {
			t.Errorf("no record told of the %s of process %d", what, pid)
		}
	}
	t.Logf("build ID by event and by note: %x", slices.Clip(want))
}
