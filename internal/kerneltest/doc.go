// Package kerneltest runs the module's Go tests as root on other kernels than the host's, in emulated machines, to see that eBPF programs load and work there. It is for
// function: time passes differently under emulation, so nothing measured there means anything.
//
// A [Config] names kernel series and packages. [Run] fetches the kernels (package kernel), compiles each package's tests without cgo, packs them with their testdata folders into an
// initramfs (package initramfs), boots each kernel in qemu with two emulated processors and software emulation, lets the machine's init (package guest) run the binaries, and prints
// what they did. The [Report] says for each kernel and package how many tests passed, failed and were skipped. Neither root nor KVM is needed on the host; qemu-system-x86_64 is,
// and apt once for each kernel. A machine that panics, hangs, or falls silent is reported with the end of its console's text.
//
// A test sees the series it runs on in the environment variable [KernelVariable]. It runs in a folder laid out like its source folder (its testdata is there, other files only if
// [Config.Files] names them) and finds /proc, /sys, cgroup2, tracefs, debugfs, bpffs, a loopback interface, busybox's commands and the kernel's configuration in /boot.
package kerneltest
