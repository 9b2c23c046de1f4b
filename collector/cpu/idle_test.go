package cpu

import (
	"slices"
	"strings"
	"testing"
)

func TestParseIdleCode(t *testing.T) {
	const symbols = `ffffffff81000000 T _stext
ffffffff81000100 t mwait_idle_with_hints.constprop.0
ffffffff81000180 T pv_native_safe_halt
ffffffff81000190 T native_something_else
ffffffff81000200 D default_idle
ffffffff82000000 T do_idle
`
	got := parseIdleCode(strings.NewReader(symbols))
	want := []codeRange{
		{0xffffffff81000100, 0xffffffff81000180}, {0xffffffff81000180, 0xffffffff81000190}, {0xffffffff82000000, 0xffffffff82001000},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := parseIdleCode(strings.NewReader("0000000000000000 T do_idle\n0000000000000000 T x\n")); got != nil {
		t.Errorf("hidden symbols gave %x", got)
	}
}

// Modules follow the kernel, and functions of one address share their code.
func TestParseIdleCodeOfModules(t *testing.T) {
	const symbols = `ffffffff81000000 T default_idle
ffffffff81000000 t some_alias
ffffffff81000040 t after
ffffffffc0001000 t acpi_safe_halt	[processor]
ffffffffc0001020 t next	[processor]
ffffffffc0002000 t acpi_idle_enter	[processor]
`
	got := parseIdleCode(strings.NewReader(symbols))
	want := []codeRange{
		{0xffffffff81000000, 0xffffffff81000040}, {0xffffffffc0001000, 0xffffffffc0001020}, {0xffffffffc0002000, 0xffffffffc0003000},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}
