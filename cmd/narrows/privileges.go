package main

import (
	"errors"
	"os"
)

// requireKernel checks at once what every recording needs, so that the answer is
// not an error from the depths of a loader.
func requireKernel() error {
	if os.Geteuid() != 0 {
		return advisedError{
			errors.New("profiling the machine needs root: it loads eBPF programs and reads every process's mappings"),
			"run it as root: sudo narrows ...",
		}
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return advisedError{
			errors.New("this kernel does not publish its types: there is no /sys/kernel/btf/vmlinux"),
			"use a kernel of 6.1 or later built with CONFIG_DEBUG_INFO_BTF=y, as those of the large distributions are",
		}
	}
	return nil
}
