// Package bpf holds Narrows' kernel side: the eBPF programs in C, and what
// bpf2go made of them, embedded, so that building Narrows needs only Go.
//
// One object, Core, owns the maps that all programs share: the ring buffer by
// which events leave and the counters of everything that went wrong. The others
// hold one signal each and are given Core's maps when they are loaded. Package
// collector does that; this package has no logic of its own.
//
// The C files are dual-licensed BSD-3-Clause or GPL-2.0. They are compiled for
// amd64 and arm64 against the kernel's BTF (CO-RE) and load on Linux 6.1 and
// later.
package bpf

//go:generate go tool bpf2go -target amd64,arm64 -type counter -type event_kind -type unwind_end -type event_header -type thread_identity -type stack -type stack_memory -type unwind_file_state -type unwind_file -type unwind_mapping -type unwind_process -type unwind_set -type stack_event -type stack_setting -type wait_event -type wait_flag -type contention_event -type contention_total -type contention_flag -type futex_call_flag -type futex_key -type futex_lock -type futex_entry Core core.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 -type cpu_sample CPU cpu.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 Fork fork.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 -type probe_stack Probe probe.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 Wait wait.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 Asleep asleep.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 Contention contention.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 -type lock_record Futex futex.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 -type go_wait_event -type go_target -type go_hits -type goroutine -type parked GoLock golock.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 -type alloc_event -type alloc_record -type alloc_target -type alloc_hits -type alloc_function Alloc alloc.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 -type fault_event -type fault_totals -type fault_cpu Fault fault.bpf.c
//go:generate go tool bpf2go -target amd64,arm64 -type kernel_alloc_event -type kernel_alloc_record -type kernel_alloc_cpu -type kernel_alloc_flag -type kernel_alloc_kind KernelAlloc kernelalloc.bpf.c
