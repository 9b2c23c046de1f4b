package probesite_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/collector/probesite"
)

// leaf keeps its argument below the stack pointer, as compilers have leaf functions do, over
// a 5-byte nop. The program says how often it got something else back.
const leafProgram = `
#include <stdio.h>
long leaf(long);
__asm__(".text\n.globl leaf\n.type leaf,@function\nleaf:\n"
	"mov %rdi,-8(%rsp)\n"
	".byte 0x0f,0x1f,0x44,0x00,0x00\n"
	"mov -8(%rsp),%rax\n"
	"ret\n.size leaf,.-leaf\n");
int main(void)
{
	long wrong = 0;
	for (long i = 1; i <= 20000; i++)
		wrong += leaf(i) != i;
	printf("%ld\n", wrong);
	return 0;
}
`

// TestRedZone puts a probe where Choose says, into a function that a probe on its 5-byte
// nop makes wrong on some kernels.
func TestRedZone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it sets a uprobe")
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc")
	}
	path := filepath.Join(t.TempDir(), "leaf")
	build := exec.Command(gcc, "-O1", "-x", "c", "-o", path, "-")
	build.Stdin = strings.NewReader(leafProgram)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	file := open(t, path)
	for _, s := range symbols {
		if s.Name != "leaf" {
			continue
		}
		code, err := file.ReadCode(s.Value, s.Value+s.Size)
		if err != nil {
			t.Fatal(err)
		}
		site, err := probesite.Choose("amd64", probesite.Function{Code: code, Keep: []string{"rdi"}})
		if err != nil {
			t.Fatal(err)
		}
		offset, _ := file.FileOffset(s.Value)
		if wrong := runProbed(t, path, offset+uint64(site.Offset)); wrong != "0" {
			t.Errorf("with a probe at %v %s of 20000 calls returned wrong values", site, wrong)
		}
		t.Logf("a probe on the nop, which was refused, makes %s of 20000 calls wrong", runProbed(t, path, offset+5))
	}
}

// runProbed runs the program with a probe at an offset of its file, and returns what it says.
func runProbed(t *testing.T, path string, offset uint64) string {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Kprobe, License: "Dual BSD/GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	executable, err := link.OpenExecutable(path)
	if err != nil {
		t.Fatal(err)
	}
	probe, err := executable.Uprobe("leaf", program, &link.UprobeOptions{Address: offset})
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	out, err := exec.Command(path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}
