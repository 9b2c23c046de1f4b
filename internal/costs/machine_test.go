package costs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestVirtual(t *testing.T) {
	product := filepath.Join(t.TempDir(), "product_name")
	if err := os.WriteFile(product, []byte("Some Hypervisor\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, test := range []struct {
		name  string
		flags []string
		files []string
		want  string
	}{
		{"bare metal", []string{"fpu", "vme"}, []string{product}, ""},
		{"silent hypervisor", []string{"fpu", "hypervisor"}, []string{missing}, "a virtual machine"},
		{"named", []string{"hypervisor"}, []string{missing, product}, "a virtual machine (Some Hypervisor)"},
	} {
		if got := virtual(test.flags, test.files...); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestThisMachine(t *testing.T) {
	m, err := ThisMachine()
	if err != nil {
		t.Fatal(err)
	}
	if m.CPUs < 1 || m.Kernel == "" || m.Architecture == "" {
		t.Errorf("%+v", m)
	}
}
