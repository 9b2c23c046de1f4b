package kernel

import (
	"context"
	"debug/elf"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
)

// Busybox returns the path of a statically linked busybox: the machine's own, or the one in the cache, or that of Debian's package busybox-static.
func (c Cache) Busybox(ctx context.Context) (string, error) {
	if installed, err := exec.LookPath("busybox"); err == nil && isStatic(installed) {
		return installed, nil
	}
	kept := filepath.Join(c.Dir, "busybox-static", "busybox")
	if isStatic(kept) {
		return kept, nil
	}
	wanted := func(name string) string {
		if name == "bin/busybox" || name == "usr/bin/busybox" {
			return "busybox"
		}
		return ""
	}
	folder := func(string) string { return "busybox-static" }
	if err := c.fetch(ctx, regexp.MustCompile(`^busybox-static$`), folder, wanted, []string{"busybox"}); err != nil {
		return "", fmt.Errorf("finding a static busybox: %w", err)
	}
	if !isStatic(kept) {
		return "", fmt.Errorf("finding a static busybox: %s needs an ELF interpreter", kept)
	}
	return kept, nil
}

// isStatic says whether the file is an amd64 executable that runs without a dynamic loader.
func isStatic(name string) bool {
	file, err := elf.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return false
		}
	}
	return file.Machine == elf.EM_X86_64
}
