package features

import (
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// load loads a program that is closed with the test.
func load(t *testing.T, spec *ebpf.ProgramSpec) *ebpf.Program {
	t.Helper()
	spec.License = "GPL"
	program, err := ebpf.NewProgram(spec)
	if err != nil {
		t.Fatalf("loading: %+v", err)
	}
	t.Cleanup(func() { program.Close() })
	return program
}

func nothing() asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
}

func TestRingBufferCarriesBytes(t *testing.T) {
	series(t)
	events, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	reader, err := ringbuf.NewReader(events)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	program := load(t, &ebpf.ProgramSpec{Type: ebpf.SocketFilter, Instructions: asm.Instructions{
		asm.LoadImm(asm.R1, 0x0123456789abcdef, asm.DWord),
		asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord),
		asm.LoadMapPtr(asm.R1, events.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.Mov.Imm(asm.R3, 8),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnRingbufOutput.Call(),
		asm.Return(),
	}})
	if _, err := program.Run(&ebpf.RunOptions{Data: make([]byte, 14)}); err != nil {
		t.Fatal(err)
	}
	record, err := reader.Read()
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint64(record.RawSample); got != 0x0123456789abcdef {
		t.Errorf("the record holds %#x", got)
	}
}

// bpf_loop's callback adds up its index; the sum of 0 to 999 is known.
func TestLoopRunsItsCallback(t *testing.T) {
	series(t)
	number := &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}
	pointer := &btf.Pointer{Target: &btf.Void{}}
	callback := &btf.Func{Name: "callback", Linkage: btf.StaticFunc, Type: &btf.FuncProto{
		Return: number, Params: []btf.FuncParam{{Name: "index", Type: number}, {Name: "sum", Type: pointer}},
	}}
	entry := &btf.Func{Name: "entry", Linkage: btf.GlobalFunc, Type: &btf.FuncProto{Return: number, Params: []btf.FuncParam{{Name: "context", Type: pointer}}}}
	program := load(t, &ebpf.ProgramSpec{Type: ebpf.SocketFilter, Instructions: asm.Instructions{
		btf.WithFuncMetadata(asm.Mov.Imm(asm.R0, 0).WithSymbol("entry"), entry),
		asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R1, 1000),
		asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Dst: asm.R2, Src: asm.PseudoFunc, Constant: -1}.WithReference("callback"),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -8),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnLoop.Call(),
		asm.LoadMem(asm.R0, asm.RFP, -8, asm.DWord),
		asm.Return(),
		btf.WithFuncMetadata(asm.LoadMem(asm.R3, asm.R2, 0, asm.DWord).WithSymbol("callback"), callback),
		asm.Add.Reg(asm.R3, asm.R1),
		asm.StoreMem(asm.R2, 0, asm.R3, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}})
	if sum, err := program.Run(&ebpf.RunOptions{Data: make([]byte, 14)}); err != nil || sum != 499500 {
		t.Errorf("the sum of 0 to 999 is %d (%v)", sum, err)
	}
}

// bpf_task_pt_regs gives the user registers of a thread in a system call: its instruction pointer must lie in the Go function that makes system calls.
func TestUserRegistersOfASystemCall(t *testing.T) {
	series(t)
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	var registers *btf.Struct
	if err := spec.TypeByName("pt_regs", &registers); err != nil {
		t.Fatal(err)
	}
	offset := int16(-1)
	for _, member := range registers.Members {
		if member.Name == "ip" {
			offset = int16(member.Offset.Bytes())
		}
	}
	if offset < 0 {
		t.Fatal("pt_regs has no ip")
	}
	seen, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	program := load(t, &ebpf.ProgramSpec{Type: ebpf.RawTracepoint, Instructions: asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 8, asm.DWord), // the second argument of sys_enter: the call's number
		asm.FnGetCurrentPidTgid.Call(),
		asm.JNE.Imm32(asm.R0, int32(unix.Gettid()), "exit"),
		asm.JNE.Imm(asm.R6, unix.SYS_GETPPID, "exit"),
		asm.FnGetCurrentTaskBtf.Call(),
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.FnTaskPtRegs.Call(),
		asm.LoadMem(asm.R1, asm.R0, offset, asm.DWord),
		asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord),
		asm.StoreImm(asm.RFP, -12, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, seen.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -12),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -8),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"),
		asm.Return(),
	}})
	attached, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: program})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	unix.Getppid()
	var ip uint64
	if err := seen.Lookup(uint32(0), &ip); err != nil {
		t.Fatal(err)
	}
	function := runtime.FuncForPC(uintptr(ip))
	if function == nil || !strings.Contains(strings.ToLower(function.Name()), "syscall") {
		t.Fatalf("the instruction pointer %#x lies in no function that makes system calls", ip)
	}
	t.Logf("getppid was called from %s", function.Name())
}

// target is called through a uprobe.
//
//go:noinline
func target(n int) int { return n * 3 }

// Each way to attach that the collector may choose is tried with a program that does nothing.
func TestAttach(t *testing.T) {
	series(t)
	tracing := func(kind ebpf.AttachType, to string) func(t *testing.T) (link.Link, error) {
		return func(t *testing.T) (link.Link, error) {
			return link.AttachTracing(link.TracingOptions{Program: load(t, &ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: kind, AttachTo: to, Instructions: nothing()})})
		}
	}
	tracepoint := func(group, name string) func(t *testing.T) (link.Link, error) {
		return func(t *testing.T) (link.Link, error) {
			return link.Tracepoint(group, name, load(t, &ebpf.ProgramSpec{Type: ebpf.TracePoint, Instructions: nothing()}), nil)
		}
	}
	for name, attach := range map[string]func(t *testing.T) (link.Link, error){
		"tp_btf/sched_switch":                   tracing(ebpf.AttachTraceRawTp, "sched_switch"),
		"tp_btf/sched_waking":                   tracing(ebpf.AttachTraceRawTp, "sched_waking"),
		"tp_btf/sched_process_exec":             tracing(ebpf.AttachTraceRawTp, "sched_process_exec"),
		"tp_btf/contention_begin":               tracing(ebpf.AttachTraceRawTp, "contention_begin"),
		"tp_btf/contention_end":                 tracing(ebpf.AttachTraceRawTp, "contention_end"),
		"fentry/do_nanosleep":                   tracing(ebpf.AttachTraceFEntry, "do_nanosleep"),
		"fexit/do_nanosleep":                    tracing(ebpf.AttachTraceFExit, "do_nanosleep"),
		"tracepoint/syscalls/sys_enter_futex":   tracepoint("syscalls", "sys_enter_futex"),
		"tracepoint/syscalls/sys_exit_futex":    tracepoint("syscalls", "sys_exit_futex"),
		"tracepoint/exceptions/page_fault_user": tracepoint("exceptions", "page_fault_user"),
		"tracepoint/sched/sched_process_fork":   tracepoint("sched", "sched_process_fork"),
		"kprobe/do_nanosleep": func(t *testing.T) (link.Link, error) {
			return link.Kprobe("do_nanosleep", load(t, &ebpf.ProgramSpec{Type: ebpf.Kprobe, Instructions: nothing()}), nil)
		},
		"uprobe": func(t *testing.T) (link.Link, error) {
			self, err := link.OpenExecutable("/proc/self/exe")
			if err != nil {
				return nil, err
			}
			symbol := runtime.FuncForPC(reflect.ValueOf(target).Pointer()).Name()
			return self.Uprobe(symbol, load(t, &ebpf.ProgramSpec{Type: ebpf.Kprobe, Instructions: nothing()}), nil)
		},
		"iter/task": func(t *testing.T) (link.Link, error) {
			program := load(t, &ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: ebpf.AttachTraceIter, AttachTo: "task", Instructions: nothing()})
			return link.AttachIter(link.IterOptions{Program: program})
		},
	} {
		t.Run(name, func(t *testing.T) {
			attached, err := attach(t)
			if err != nil {
				t.Fatal(err)
			}
			if got := target(os.Getpid()); got != 3*os.Getpid() {
				t.Errorf("with the probe attached, target returned %d", got)
			}
			if err := attached.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// uprobe.multi came with 6.6, uprobe.session with 6.13 (kernelnewbies.org/LinuxVersions).
func TestLaterFeaturesAreWhereTheyShouldBe(t *testing.T) {
	major, minor := series(t)
	err := features.HaveBPFLinkUprobeMulti()
	if want := major > 6 || major == 6 && minor >= 6; (err == nil) != want || err != nil && !errors.Is(err, ebpf.ErrNotSupported) {
		t.Errorf("uprobe.multi: %v, want it present: %v", err, want)
	}
}

func TestHelpersAndStorage(t *testing.T) {
	series(t)
	for _, helper := range []asm.BuiltinFunc{asm.FnGetStack, asm.FnLoop, asm.FnTaskPtRegs, asm.FnGetCurrentTaskBtf, asm.FnRingbufReserve, asm.FnProbeReadUser, asm.FnGetNsCurrentPidTgid, asm.FnKtimeGetNs} {
		for _, kind := range []ebpf.ProgramType{ebpf.PerfEvent, ebpf.RawTracepoint, ebpf.TracePoint, ebpf.Kprobe} {
			if err := features.HaveProgramHelper(kind, helper); err != nil {
				t.Errorf("%v in %v: %v", helper, kind, err)
			}
		}
	}
	for _, kind := range []ebpf.MapType{ebpf.TaskStorage, ebpf.RingBuf, ebpf.LRUHash, ebpf.PerCPUArray, ebpf.StackTrace, ebpf.LPMTrie, ebpf.ArrayOfMaps, ebpf.HashOfMaps} {
		if err := features.HaveMapType(kind); err != nil {
			t.Errorf("%v maps: %v", kind, err)
		}
	}
}
