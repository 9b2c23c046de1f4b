package rank

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"pgregory.net/rapid"

	"github.com/narrows-profiler/narrows/analysis/memory"
)

// taken makes profiles of allocations and of page faults.
type taken struct{ *builder }

func newTaken(types ...string) taken {
	b := newBuilder()
	b.p.SampleType = nil
	for _, name := range types {
		b.p.SampleType = append(b.p.SampleType, &profile.ValueType{Type: name})
	}
	return taken{b}
}

func allocations() taken {
	return newTaken("alloc_objects", "alloc_space", "inuse_objects", "inuse_space")
}

func pageFaults() taken { return newTaken("faults", "resident") }

func (b taken) add(stack string, labels []string, values ...int64) taken {
	b.builder.add(stack, 0, labels...)
	b.p.Sample[len(b.p.Sample)-1].Value = values
	return b
}

func (r recorded) withMemory() recorded {
	r.alloc, r.fault = allocations(), pageFaults()
	return r
}

// described is each entry in few words with its share of the time.
func described(r *Report) []string {
	var list []string
	for _, e := range r.Ranked[0].Services[0].ByTime {
		list = append(list, fmt.Sprintf("%.2f %s", e.TimeShare, line(e)))
	}
	return list
}

// A Go service of which 3 s of CPU time are clearing what fill allocates, 1 s is in fill's page
// faults, and 2 s are the garbage collector's, for fill and another function.
func goService() recorded {
	r := record().withMemory()
	r.cpu.add("runtime.memclrNoHeapPointers;runtime.mallocgc;runtime.makeslice;app.fill;main.main", 280, first, ryot).
		add("runtime.scanobject;runtime.gcAssistAlloc;runtime.mallocgc;app.fill;main.main", 20, first, ryot).
		add("clear_page_erms;asm_exc_page_fault;app.fill;main.main", 100, first, ryot).
		add("runtime.scanobject;runtime.gcDrain;runtime.gcBgMarkWorker;runtime.goexit", 200, first, ryot).
		add("app.fill;main.main", 50, first, ryot).
		add("app.compute;main.main", 250, first, ryot).
		add("clear_page_erms;asm_exc_page_fault;__memcpy_avx_unaligned_erms;app.copy;main.main", 50, first, ryot)
	return r
}

func TestMemoryIsOfTheFunctionThatTakesIt(t *testing.T) {
	r := goService()
	r.alloc.add("runtime.makeslice;app.fill;main.main", []string{ryot}, 300, 3<<30, 1, 1<<20).
		add("runtime.newobject;app.parse;main.main", []string{ryot}, 1000, 1<<30, 1000, 1<<30).
		add("runtime.newobject;app.other", []string{"service=agents"}, 1, 1<<40, 0, 0)
	r.fault.add("app.fill;main.main", []string{ryot, first}, 7, 28<<10).
		add("app.fill;main.main", []string{ryot, "benchmark=other"}, 5, 20<<10)
	report := r.rank(t)
	if diff := cmp.Diff([]string{
		"0.55 allocation app.fill: allocation churn",
		"0.25 CPU app.compute: computes",
		"0.05 CPU app.fill: computes",
		"0.05 garbage app.parse: garbage collection",
		"0.05 page faults app.copy: touches memory that it does not have yet",
	}, described(report)); diff != "" {
		t.Errorf("by time (-want +got):\n%s", diff)
	}
	fill := report.Ranked[0].Services[0].ByTime[0]
	if fill.Memory == nil || *fill.Memory != (Memory{AllocatedBytes: 3 << 30, AllocatedObjects: 300, LiveBytes: 1 << 20, Faults: 7, ResidentBytes: 28 << 10}) {
		t.Errorf("taken by fill: %+v", fill.Memory)
	}
	want := []Part{{memory.Allocating, 2_800_000_000, 28.0 / 55}, {memory.Collecting, 1_700_000_000, 17.0 / 55}, {memory.Faulting, 1_000_000_000, 10.0 / 55}}
	if diff := cmp.Diff(want, fill.Held); diff != "" {
		t.Errorf("what fill's time went to (-want +got):\n%s", diff)
	}
	if got, want := fill.Payoff.SavingAtMost, 55.0/95; got != want {
		t.Errorf("saves %v of the CPU time at most, want %v", got, want)
	}
}

// Without a record of allocations it is not known whose garbage is collected.
func TestGarbageOfUnknownFunctions(t *testing.T) {
	if diff := cmp.Diff([]string{
		"0.40 allocation app.fill: allocates",
		"0.25 CPU app.compute: computes",
		"0.20 garbage [garbage collector]: garbage collection",
		"0.05 CPU app.fill: computes",
		"0.05 page faults app.copy: touches memory that it does not have yet",
	}, described(goService().rank(t))); diff != "" {
		t.Errorf("by time (-want +got):\n%s", diff)
	}
}

// In other languages, too, memory is of the function that asks for it, and not of the language's
// containers.
func TestMemoryOfOtherLanguages(t *testing.T) {
	for stack, want := range map[string]string{
		"_int_malloc;malloc;strdup;lookup;main": "allocation lookup: allocates",
		"_int_free;free;release;main":           "allocation release: allocates",
		"malloc;operator new(unsigned long);std::vector<int>::push_back(int&&);App::run();main":                              "allocation App::run(): allocates",
		"mi_malloc;operator new(unsigned long);App::run();main":                                                              "allocation App::run(): allocates",
		"__rdl_alloc;alloc::raw_vec::RawVec<T>::grow;<alloc::vec::Vec<T> as Clone>::clone;server::handle;main":               "allocation server::handle: allocates",
		"clear_page_erms;asm_exc_page_fault;__memset_avx2_unaligned_erms;calloc;table_new;main":                              "page faults table_new: touches memory that it does not have yet",
		"unmap_vmas;__x64_sys_munmap;do_syscall_64;entry_SYSCALL_64_after_hwframe;__munmap;drop;main":                        "mappings drop: maps memory and gives it back",
		"unmap_vmas;__x64_sys_munmap;do_syscall_64;entry_SYSCALL_64_after_hwframe;runtime.munmap;syscall.Munmap;f":           "mappings f: maps memory and gives it back",
		"copy_page;asm_exc_page_fault;rep_movs_alternative;ksys_read;do_syscall_64;entry_SYSCALL_64_after_hwframe;read;main": "page faults read: touches memory that it does not have yet",
	} {
		r := record()
		r.cpu.add(stack, 100, first, ryot)
		for _, s := range r.cpu.p.Sample { // what the kernel's frames are known by
			for _, l := range s.Location {
				switch l.Line[0].Function.Name {
				case "rep_movs_alternative", "ksys_read", "do_syscall_64", "entry_SYSCALL_64_after_hwframe":
					l.Mapping = kernelOf(r.cpu.p)
				}
			}
		}
		if diff := cmp.Diff([]string{"0.10 " + want}, described(r.rank(t))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", stack, diff)
		}
	}
}

func kernelOf(p *profile.Profile) *profile.Mapping {
	if len(p.Mapping) == 1 {
		p.Mapping = append(p.Mapping, &profile.Mapping{ID: 2, Start: 1 << 40, Limit: 1 << 41, File: "[kernel.kallsyms]"})
	}
	return p.Mapping[1]
}

// Each second of CPU time is in one place at most, whatever it went to.
func TestMemoryCountsOnce(t *testing.T) {
	names := []string{"app.f", "app.g", "runtime.mallocgc", "runtime.memmove", "asm_exc_page_fault", "runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "__x64_sys_brk", "malloc"}
	rapid.Check(t, func(rt *rapid.T) {
		var tally Tally
		b, alloc := newBuilder(), allocations()
		var all int64
		for range rapid.IntRange(1, 6).Draw(rt, "samples") {
			stack := ""
			for i, name := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 5).Draw(rt, "stack") {
				if i > 0 {
					stack += ";"
				}
				stack += name
			}
			n := rapid.Int64Range(1, 60).Draw(rt, "n")
			all += n * tick
			b.add(stack, n, first, ryot)
			if rapid.Bool().Draw(rt, "allocates") {
				alloc.add(stack, []string{ryot}, 1, rapid.Int64Range(1, 1<<40).Draw(rt, "bytes"), 0, 0)
			}
		}
		if err := tally.Add(b.p); err != nil {
			rt.Fatal(err)
		}
		if err := tally.AddAlloc(alloc.p); err != nil {
			rt.Fatal(err)
		}
		r, err := tally.Report(nil, Options{MinSamples: 1, Top: 1000, Seconds: map[string]float64{"FirstTokenLatencyBenchmark": 10}})
		if err != nil {
			rt.Fatal(err)
		}
		var sum int64
		for _, e := range r.Ranked[0].Services[0].ByTime {
			if e.NS <= 0 || e.Payoff.SavingAtMost > 1 {
				rt.Fatalf("%+v", e)
			}
			sum += e.NS
		}
		// Sharing out rounds down, and shares below one sample are not shown.
		if sum > all || all-sum > int64(len(names))*tick {
			rt.Fatalf("%d ns in places, of %d", sum, all)
		}
	})
}

func TestNotAProfileOfMemory(t *testing.T) {
	var tally Tally
	if tally.AddAlloc(pageFaults().p) == nil || tally.AddFault(allocations().p) == nil {
		t.Error("a profile of the other kind was taken")
	}
}
