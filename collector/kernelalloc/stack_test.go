package kernelalloc

import (
	"slices"
	"strings"
	"testing"
)

// names are functions whose address is their place.
type names []string

func (n names) Lookup(address uint64) (name, module string, ok bool) {
	name = n[address]
	return name, "", name != ""
}

// Stacks are those that Linux 6.18 has; a program itself has no name.
func TestReadStacks(t *testing.T) {
	for name, of := range map[string]struct {
		stack string
		want  Stack
		from  string
		to    string
	}{
		"system call": {
			stack: "? bpf_trace_run6 __kmalloc_cache_noprof do_eventfd __do_sys_eventfd2 do_syscall_64 entry_SYSCALL_64_after_hwframe",
			from:  "__kmalloc_cache_noprof", to: "entry_SYSCALL_64_after_hwframe",
		},
		"several hooks": {
			stack: "? bpf_trace_run4 __bpf_trace_mm_page_alloc __traceiter_mm_page_alloc __alloc_frozen_pages_noprof alloc_pages_mpol anon_pipe_write",
			from:  "__alloc_frozen_pages_noprof", to: "anon_pipe_write",
		},
		"interrupt": {
			stack: "? bpf_trace_run5 kmem_cache_alloc_noprof __alloc_skb handle_softirqs irq_exit_rcu asm_common_interrupt vfs_read do_syscall_64",
			want:  Stack{Interrupt: true}, from: "kmem_cache_alloc_noprof", to: "asm_common_interrupt",
		},
		"page for objects": {
			stack: "? bpf_trace_run4 __alloc_frozen_pages_noprof alloc_pages_mpol new_slab ___slab_alloc kmem_cache_alloc_noprof alloc_inode",
			want:  Stack{SlabPage: true}, from: "__alloc_frozen_pages_noprof", to: "alloc_inode",
		},
		"page while objects are made": {
			stack: "? bpf_trace_run4 __alloc_pages alloc_pages swap_out new_slab ___slab_alloc",
			from:  "__alloc_pages", to: "___slab_alloc",
		},
		"another program": {
			stack: "? bpf_trace_run6 __kmalloc_node bpf_selem_alloc bpf_task_storage_get ? bpf_trace_run4 __schedule schedule",
			want:  Stack{Program: true}, from: "__kmalloc_node", to: "schedule",
		},
	} {
		functions := names(strings.Fields(strings.ReplaceAll(of.stack, "?", "[program]")))
		var kernel []uint64
		for i := range functions {
			kernel = append(kernel, uint64(i))
			if functions[i] == "[program]" {
				functions[i] = ""
			}
		}
		got := NewReader(functions).Read(kernel)
		first, last := slices.Index(functions, of.from), slices.Index(functions, of.to)
		if got.Interrupt != of.want.Interrupt || got.Program != of.want.Program || got.SlabPage != of.want.SlabPage || !slices.Equal(got.Frames, kernel[first:last+1]) {
			t.Errorf("%s: %+v, want frames %v", name, got, kernel[first:last+1])
		}
	}
	if got := NewReader(nil).Read([]uint64{1, 2, 3}); len(got.Frames) != 3 {
		t.Errorf("without names: %+v", got)
	}
}
