package kallsyms_test

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/kallsyms"
)

const text = `0000000000000000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000000 t local_alias
ffffffff81000100 W weak_function
ffffffff81000100 t local_of_weak
ffffffff81000200 t last_of_text
ffffffff81000300 R some_constant
ffffffff81200000 D some_data
ffffffffc0001000 t module_function	[ext4]
ffffffffc0001040 d module_data	[ext4]
ffffffffc0400000 t bpf_prog_6deef7357e7b4530_sd	[bpf]
ffffffffc0400100 T very_last	[ext4]
`

func TestLookup(t *testing.T) {
	table, err := kallsyms.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := table.Len(), 6; got != want {
		t.Errorf("%d functions, want %d", got, want)
	}
	for _, test := range []struct {
		addr         uint64
		name, module string
	}{
		{0, "", ""},
		{0xffffffff80ffffff, "", ""},
		{0xffffffff81000000, "_text", ""},
		{0xffffffff810000ff, "_text", ""},
		{0xffffffff81000100, "weak_function", ""},
		{0xffffffff810001ff, "weak_function", ""},
		{0xffffffff81000200, "last_of_text", ""},
		{0xffffffff810002ff, "last_of_text", ""},
		{0xffffffff81000300, "", ""}, // data
		{0xffffffff81200000, "", ""},
		{0xffffffffc0000fff, "", ""},
		{0xffffffffc0001000, "module_function", "ext4"},
		{0xffffffffc000103f, "module_function", "ext4"},
		{0xffffffffc0001040, "", ""},
		{0xffffffffc0400010, "bpf_prog_6deef7357e7b4530_sd", "bpf"},
		{0xffffffffc0400100, "very_last", "ext4"},
		{0xffffffffc0400101, "", ""}, // its end is not known
		{0xffffffffffffffff, "", ""},
	} {
		name, module, ok := table.Lookup(test.addr)
		if name != test.name || module != test.module || ok != (test.name != "") {
			t.Errorf("Lookup(%#x) = %q, %q, %t; want %q, %q", test.addr, name, module, ok, test.name, test.module)
		}
	}
}

// TestReach checks that a function does not go on over the gap to the next
// module.
func TestReach(t *testing.T) {
	table, err := kallsyms.Parse(strings.NewReader("ffffffffc0001000 t f\t[a]\nffffffffc0900000 t g\t[b]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if name, _, _ := table.Lookup(0xffffffffc0001000 + 1<<20 - 1); name != "f" {
		t.Errorf("within a megabyte: %q, want f", name)
	}
	if name, _, ok := table.Lookup(0xffffffffc0001000 + 1<<20); ok {
		t.Errorf("after a megabyte: %q, want none", name)
	}
}

func TestParseErrors(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"hidden addresses": {"0000000000000000 T _text\n0000000000000000 t f\t[ext4]\n", kallsyms.ErrRestricted},
		"empty":            {"", kallsyms.ErrMalformed},
		"no function":      {"ffffffff81000000 D data\n", kallsyms.ErrMalformed},
		"no address":       {"T _text\n", kallsyms.ErrMalformed},
		"no name":          {"ffffffff81000000 T \n", kallsyms.ErrMalformed},
		"no type":          {"ffffffff81000000\n", kallsyms.ErrMalformed},
		"long address":     {"ffffffff810000000 T _text\n", kallsyms.ErrMalformed},
		"long line":        {"ffffffff81000000 T " + strings.Repeat("x", 5000) + "\n", kallsyms.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := kallsyms.Parse(strings.NewReader(test.text)); !errors.Is(err, test.want) {
				t.Errorf("Parse: %v, want %v", err, test.want)
			}
		})
	}
}

// runningKernel returns this host's symbols, or skips the test.
func runningKernel(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Skipf("no kernel symbols here: %v", err)
	}
	if _, err := kallsyms.Parse(bytes.NewReader(data)); errors.Is(err, kallsyms.ErrRestricted) {
		t.Skip(err)
	}
	return data
}

// TestRunningKernel checks that every function of this host's kernel is found
// at its address under one of that address's names.
func TestRunningKernel(t *testing.T) {
	data := runningKernel(t)
	table, err := kallsyms.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[uint64][]string)
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if !strings.Contains("tTwW", fields[1]) {
			continue
		}
		addr, err := strconv.ParseUint(fields[0], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		names[addr] = append(names[addr], strings.Join(fields[2:], " "))
	}
	if table.Len() != len(names) {
		t.Errorf("%d functions, want %d", table.Len(), len(names))
	}
	for addr, want := range names {
		name, module, ok := table.Lookup(addr)
		if module != "" {
			name += " [" + module + "]"
		}
		found := false
		for _, w := range want {
			found = found || w == name
		}
		if !ok || !found {
			t.Errorf("Lookup(%#x) = %q, %t; want one of %q", addr, name, ok, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(text), uint64(0xffffffff81000010))
	f.Add([]byte("0 T a\n1 w b [c]\n"), uint64(0))
	f.Add([]byte("ffffffffffffffff T end\nfffffffffffffffe t before\n"), ^uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, addr uint64) {
		table, err := kallsyms.Parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		name, _, ok := table.Lookup(addr)
		if ok && !bytes.Contains(data, []byte(name)) {
			t.Errorf("Lookup(%#x) made up %q", addr, name)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data := runningKernel(b)
	var table *kallsyms.Table
	for b.Loop() {
		var err error
		if table, err = kallsyms.Parse(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(table.Memory())/float64(table.Len()), "bytes/symbol")
	b.ReportMetric(float64(table.Len())*float64(b.N)/b.Elapsed().Seconds(), "symbols/s")
}

func BenchmarkLookup(b *testing.B) {
	table, err := kallsyms.Parse(bytes.NewReader(runningKernel(b)))
	if err != nil {
		b.Fatal(err)
	}
	addr := uint64(0xffffffff81000000)
	for b.Loop() {
		table.Lookup(addr)
		addr = 0xffffffff81000000 + (addr*2654435761)%(16<<20)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
}
