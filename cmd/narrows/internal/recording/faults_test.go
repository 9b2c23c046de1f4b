package recording

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
)

const mb = 1 << 20

// resident is what a recording saw of a program of testdata/faults.c, and what the kernel
// counted for it.
type resident struct {
	bytes, faults   map[string]float64 // by function; "" is everything else
	kernelFaults    float64
	kernelResident  float64
	profile         *profile.Profile
	summary         session.Summary
	allBytes, count float64
	// unwalked is the bytes of stacks that were not followed to their root, and of those lost,
	// as each says: of a machine that is saturated the kernel's copies are over their budget.
	unwalked float64
}

// recordFaults records the program doing one thing, which begins once its mappings are known.
func recordFaults(t *testing.T, prefix []string, arguments ...string) resident {
	t.Helper()
	requireFaults(t)
	program := compile(t, filepath.Join(t.TempDir(), "faults"), "testdata/faults.c", "-pthread")
	command := append(append(prefix, program), arguments...)
	profiles, summary, output := recordCommand(t, collector.Config{Frequency: 99, Window: time.Second, Faults: true}, exec.Command(command[0], command[1:]...),
		func(g *target) {
			time.Sleep(time.Second)
			if _, err := g.input.Write([]byte{1}); err != nil {
				t.Error(err)
			}
		})
	said := offCPUTruth(t, output)
	if summary.Faults == nil {
		t.Fatal("nothing is said of all faults")
	}
	r := resident{
		bytes: map[string]float64{}, faults: map[string]float64{}, kernelFaults: said["faults"], kernelResident: said["resident"],
		profile: profiles[collector.Fault], summary: summary,
	}
	names := []string{"touch_most", "touch_rest", "populate", "lock_memory", "read_zeros", "read_file"}
	for _, s := range r.profile.Sample {
		name := findFunction(s, names)
		r.faults[name] += float64(s.Value[0])
		r.bytes[name] += float64(s.Value[1])
		r.count += float64(s.Value[0])
		r.allBytes += float64(s.Value[1])
		if name == "" && (len(s.Label["unwind"]) > 0 || findFunction(s, []string{"[no stack: lost]"}) != "") {
			r.unwalked += float64(s.Value[1])
		}
	}
	t.Logf("bytes %v, faults %v; the kernel counted %.0f faults, %.0f bytes", r.bytes, r.faults, r.kernelFaults, r.kernelResident)
	return r
}

// requireFaults skips where page faults have no tracepoints.
func requireFaults(t *testing.T) {
	t.Helper()
	requireRoot(t)
	if _, err := os.Stat("/sys/kernel/tracing/events/exceptions/page_fault_user"); os.IsNotExist(err) {
		t.Skip("no tracepoint at page faults")
	}
}

// closeTo fails unless bytes of a stack are what they should be, up to a share. Where others have
// so many faults that pieces are large, they may be off by a piece on each CPU, and without what
// has no stack, as the recording says.
func (r resident) closeTo(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if r.unwalked > 0 {
		t.Logf("%.0f bytes without their stack", r.unwalked)
		share += r.unwalked / want
	}
	r.closeBut(t, what, got, want, share, r.summary.Faults.PieceBytes)
}

// mostAllowed is how much of a number may be unknown, by what the recording itself says.
const mostAllowed = 0.25

// closeBut allows for pieces that are larger than the share.
func (r resident) closeBut(t *testing.T, what string, got, want, share float64, piece int64) {
	t.Helper()
	if off := float64(piece) * float64(runtime.NumCPU()); off > share*want {
		t.Logf("pieces are of up to %d", piece)
		share = off / want
	}
	if share > mostAllowed {
		t.Errorf("%s: too much was lost, or thinned out, to tell: %.0f %%", what, 100*share)
	}
	closeTo(t, what, got, want, share)
}

// closeTo fails unless a number is as it should be, up to a share.
func closeTo(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	t.Logf("%s: %.8g, want %.8g (%+.2f %%)", what, got, want, 100*(got/want-1))
	if math.Abs(got-want) > share*want {
		t.Errorf("%s is %.8g, want %.8g", what, got, want)
	}
}

// A program that maps 1 GB and touches 100 MB of it, from two places: with small pages each
// fault makes one resident, with huge ones 512 times as much.
func TestResidentBytesAreTrue(t *testing.T) {
	for name, pages := range map[string]float64{"split": 100 * mb / 4096, "huge": 50} {
		t.Run(name, func(t *testing.T) {
			if name == "huge" {
				requireHugePages(t)
			}
			r := recordFaults(t, nil, name)
			r.closeTo(t, "touched by the first", r.bytes["touch_most"], 70*mb, 0.01)
			r.closeTo(t, "touched by the second", r.bytes["touch_rest"], 30*mb, 0.01)
			r.closeTo(t, "together", r.bytes["touch_most"]+r.bytes["touch_rest"], 100*mb, 0.01)
			r.closeTo(t, "resident by the kernel's count", r.bytes["touch_most"]+r.bytes["touch_rest"], r.kernelResident, 0.01)
			// Where others have many faults, each that is sent stands for hundreds.
			faults := r.faults["touch_most"] + r.faults["touch_rest"]
			switch {
			case name == "huge": // fewer than one event may stand for: as many as of small pages they are not
				if small := 100 * mb / 4096.0; faults > small/8 {
					t.Errorf("%.0f faults for %.0f pages", faults, pages)
				}
			case r.unwalked == 0:
				r.closeBut(t, "faults", faults, pages, 0.02, max(300, r.summary.Faults.PieceFaults))
			}
		})
	}
}

// requireHugePages skips where the kernel has none to give.
func requireHugePages(t *testing.T) {
	t.Helper()
	enabled, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || strings.Contains(string(enabled), "[never]") {
		t.Skip("no huge pages: ", string(enabled))
	}
}

// Memory that a program maps and does not touch is not resident.
func TestUntouchedMemoryIsNotResident(t *testing.T) {
	r := recordFaults(t, nil, "nothing")
	const starting = 4 * mb // the program and its libraries
	if r.bytes["touch_most"]+r.bytes["touch_rest"] != 0 || r.allBytes > starting {
		t.Errorf("%.0f bytes of a program that does nothing", r.allBytes)
	}
}

// Memory that the kernel fills in a system call is of the stack that called it: at once, to
// be locked, or as something is read into it.
func TestMemoryFilledBySystemCallsIsSeen(t *testing.T) {
	r := recordFaults(t, nil, "kernel")
	r.closeTo(t, "populated", r.bytes["populate"], 128*mb, 0.01)
	r.closeTo(t, "locked", r.bytes["lock_memory"], 96*mb, 0.01)
	r.closeTo(t, "read into", r.bytes["read_zeros"], 112*mb, 0.01)
	r.closeBut(t, "faults of reading", r.faults["read_zeros"], 112*mb/4096, 0.02, r.summary.Faults.PieceFaults)
	if n := r.faults["populate"] + r.faults["lock_memory"]; n > float64(2*max(300, r.summary.Faults.PieceFaults)) {
		t.Errorf("%.0f faults for memory that was filled without", n)
	}
}

// A page that a child shares with its parent is copied when it writes to it.
func TestCopiesOfSharedPagesAreSeen(t *testing.T) {
	r := recordFaults(t, nil, "copy")
	r.closeTo(t, "of the parent", r.bytes["touch_rest"], 96*mb, 0.01)
	r.closeTo(t, "copied for the child", r.bytes["touch_most"], 96*mb, 0.01)
}

// What is read of a file through a mapping becomes resident if it was not in memory; if it
// was, there are faults and nothing more becomes resident.
func TestResidentBytesOfFiles(t *testing.T) {
	const size = 32 * mb
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, bytes.Repeat([]byte("narrows "), size/8), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, cached := range []bool{true, false} {
		if !cached {
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
				t.Fatal(err)
			}
			if n := inMemory(t, f, size); n > 0 {
				t.Skipf("%d pages of the file stay in memory on this file system", n)
			}
		}
		r := recordFaults(t, nil, "file", name)
		if cached && r.bytes["read_file"] > 0 {
			t.Errorf("%.0f bytes became resident that were before", r.bytes["read_file"])
		}
		if !cached { // some of it is read ahead for nothing, behind the file's end
			r.closeTo(t, "read through the mapping", r.bytes["read_file"], size, 0.05)
		}
	}
}

// inMemory is how many pages of a file the page cache holds.
func inMemory(t *testing.T, f *os.File, size int) int {
	t.Helper()
	memory, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	pages := make([]byte, size/4096)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&memory[0])), uintptr(size), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	n := 0
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}

// Four threads that do nothing but touch new memory and give it back, on a machine that is
// busy beside: what is seen and what is lost together are what the kernel counted.
func TestStormOfFaultsIsCounted(t *testing.T) {
	r := recordFaults(t, nil, "storm")
	var lost float64
	for _, l := range r.summary.Losses {
		if l.Reason == "page faults not sent" {
			lost = float64(l.Count)
		}
	}
	closeTo(t, "faults seen and lost", r.count+lost, r.kernelFaults, 0.01)
	closeTo(t, "bytes a fault", r.allBytes/r.count, 4096, 0.03)
	closeTo(t, "share of the first half", r.bytes["touch_most"]/(r.bytes["touch_most"]+r.bytes["touch_rest"]), 0.5, 0.05)
	if r.kernelFaults < 100_000 {
		t.Errorf("only %.0f faults", r.kernelFaults)
	}
}

// TestAgreesWithPerf has perf count the page faults of the same process at the same time.
func TestAgreesWithPerf(t *testing.T) {
	perf, err := exec.LookPath("perf")
	if err != nil {
		t.Skip("perf is not installed")
	}
	said := filepath.Join(t.TempDir(), "perf.txt")
	r := recordFaults(t, []string{perf, "stat", "-e", "page-faults:u", "-e", "page-faults", "-o", said, "--"}, "split")
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`([0-9,]+) +page-faults  `).FindSubmatch(append(text, "  "...))
	if found == nil {
		t.Fatalf("perf says\n%s", text)
	}
	want, err := strconv.ParseFloat(strings.ReplaceAll(string(found[1]), ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	var got float64
	for _, s := range r.profile.Sample {
		if len(s.Label["process"]) > 0 && s.Label["process"][0] == "faults" {
			got += float64(s.Value[0])
		}
	}
	closeTo(t, "faults by perf", got, want, 0.02)
}
