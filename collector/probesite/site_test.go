package probesite_test

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/collector/probesite"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// goProgram waits for a lock and a channel, so that the runtime's functions are linked.
const goProgram = `package main

import "sync"

func main() {
	var mu sync.Mutex
	var group sync.WaitGroup
	c := make(chan int)
	for range [3]int{} {
		group.Add(1)
		go func() { defer group.Done(); mu.Lock(); c <- 1; mu.Unlock() }()
	}
	for range [3]int{} {
		select {
		case <-c:
		}
	}
	group.Wait()
}
`

// buildGo builds goProgram, or skips the test if the toolchain cannot be had.
func buildGo(t *testing.T, toolchain, arch string, flags ...string) *binary.File {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": goProgram, "go.mod": "module program\n\ngo 1.20\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environment := append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	version := exec.Command("go", "version")
	version.Env = environment
	if out, err := version.CombinedOutput(); err != nil {
		t.Skipf("the toolchain %s cannot be had: %v\n%s", toolchain, err, out)
	}
	build := exec.Command("go", append(append([]string{"build"}, flags...), "-o", "program", ".")...)
	build.Dir, build.Env = dir, environment
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building with %s: %v\n%s", toolchain, err, out)
	}
	return open(t, filepath.Join(dir, "program"))
}

func open(t *testing.T, path string) *binary.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := binary.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestGo looks for sites in the functions by which goroutines wait: always behind the check
// of the stack or on it, never on the comparison that costs 16 us.
func TestGo(t *testing.T) {
	versions := []string{"go1.20.14", "go1.23.12", "local"}
	if os.Getenv("NARROWS_TEST_FULL") != "" {
		versions = []string{"go1.20.14", "go1.21.13", "go1.22.12", "go1.23.12", "go1.24.11", "go1.25.5", "local"}
	}
	keep := map[string][]string{
		"amd64": {"rax", "rbx", "rcx", "r14", "rbp"},
		"arm64": {"x0", "x1", "x2", "x28", "x29"},
	}
	for _, version := range versions {
		for arch, registers := range keep {
			t.Run(version+"/"+arch, func(t *testing.T) {
				t.Parallel()
				file := buildGo(t, version, arch, "-ldflags=-s -w")
				table, err := file.GoTable()
				if err != nil {
					t.Fatal(err)
				}
				spans, err := table.Find("runtime.gopark", "runtime.ready")
				if err != nil || len(spans) != 2 {
					t.Fatalf("found %v: %v", spans, err)
				}
				for name, span := range spans {
					code, err := file.ReadCode(span.Entry, span.End)
					if err != nil {
						t.Fatal(err)
					}
					site, err := probesite.Choose(arch, probesite.Function{Code: code, Keep: registers, EveryCall: true})
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					t.Logf("%s%v", name, site)
					if site.Price != probesite.Emulated {
						t.Errorf("%s: the site %v is dear", name, site)
					}
					if push := strings.HasPrefix(site.Instruction, "push"); arch == "amd64" && version != "go1.20.14" && (!push || site.Repeats) {
						t.Errorf("%s: %v, want the push behind the stack check", name, site)
					}
				}
			})
		}
	}
}

// libc is Debian's, or the test is skipped.
func libc(t *testing.T) string {
	for _, path := range []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skip("no glibc for x86-64")
	return ""
}

func TestLibc(t *testing.T) {
	f, err := elf.Open(libc(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string][]string{
		"malloc": {"rdi"}, "free": {"rdi"}, "calloc": {"rdi", "rsi"}, "realloc": {"rdi", "rsi"},
		"pthread_mutex_lock": {"rdi"}, "pthread_mutex_unlock": {"rdi"},
	}
	file := open(t, libc(t))
	for _, s := range symbols {
		keep, ok := wanted[s.Name]
		if !ok || s.Size == 0 {
			continue
		}
		code, err := file.ReadCode(s.Value, s.Value+s.Size)
		if err != nil {
			t.Fatal(err)
		}
		site, err := probesite.Choose("amd64", probesite.Function{Code: code, Keep: keep})
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		t.Logf("%s%v, after a branch: %v", s.Name, site, site.AfterBranch)
		if site.Price != probesite.Emulated {
			t.Errorf("%s: the site %v is dear", s.Name, site)
		}
		delete(wanted, s.Name)
	}
	if len(wanted) > 0 {
		t.Errorf("no sites in %v", wanted)
	}
}

// TestRefusals gives Choose functions of which some bytes must not be probed.
func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		code   []byte
		keep   []string
		every  bool
		offset int
		price  probesite.Price
		reason string
	}{
		"a 5-byte nop at the entry": {
			code: []byte{0x0f, 0x1f, 0x44, 0, 0, 0xc3}, price: probesite.Nop5,
		},
		"a 5-byte nop inside": { // mov [rsp-8],rdi; nop5; ret
			code: []byte{0x48, 0x89, 0x7c, 0x24, 0xf8, 0x0f, 0x1f, 0x44, 0, 0, 0xc3}, price: probesite.Stepped,
		},
		"an argument that is overwritten": { // xor edi,edi; push rbp; ret
			code: []byte{0x31, 0xff, 0x55, 0xc3}, keep: []string{"rdi"}, price: probesite.Stepped,
		},
		"a register that is not an argument": {
			code: []byte{0x31, 0xff, 0x55, 0xc3}, keep: []string{"rsi"}, offset: 2, price: probesite.Emulated,
		},
		"a loop over the push": { // mov eax,edi; push rax; dec edi; jnz push; ret
			code: []byte{0x89, 0xf8, 0x50, 0xff, 0xcf, 0x75, 0xfb, 0xc3}, price: probesite.Stepped,
		},
		"calls that end early": { // test rdi,rdi; je +2; push rbx; ret; ret
			code: []byte{0x48, 0x85, 0xff, 0x74, 0x02, 0x53, 0xc3, 0xc3}, every: true, offset: 3, price: probesite.Emulated,
		},
		"what cannot be decoded": {code: []byte{0x89, 0xf8, 0x55, 0x06}, price: probesite.Stepped},
		"nothing at all":         {reason: "the function ends"},
	} {
		t.Run(name, func(t *testing.T) {
			site, err := probesite.Choose("amd64", probesite.Function{Code: test.code, Keep: test.keep, EveryCall: test.every})
			if test.reason != "" {
				if !errors.Is(err, probesite.ErrNoSite) || !strings.Contains(err.Error(), test.reason) {
					t.Errorf("got %v and %v, want no site since %s", site, err, test.reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if site.Offset != test.offset || site.Price != test.price {
				t.Errorf("got %v, want +%#x, %v", site, test.offset, test.price)
			}
		})
	}
	if _, err := probesite.Choose("riscv64", probesite.Function{Code: []byte{1}}); !errors.Is(err, probesite.ErrArchitecture) {
		t.Errorf("riscv64: %v", err)
	}
}

func FuzzChoose(f *testing.F) {
	f.Add([]byte{0x48, 0x85, 0xff, 0x74, 0x02, 0x53, 0xc3, 0xc3}, true)
	f.Add([]byte{0x90, 0x0b, 0x40, 0xf9}, false)
	f.Fuzz(func(t *testing.T, code []byte, x86 bool) {
		arch := "arm64"
		if x86 {
			arch = "amd64"
		}
		site, err := probesite.Choose(arch, probesite.Function{Code: code, Keep: []string{"rdi", "x0"}, EveryCall: true})
		if err == nil && (site.Offset < 0 || site.Offset >= len(code)) {
			t.Errorf("%v in a function of %d bytes", site, len(code))
		}
	})
}
