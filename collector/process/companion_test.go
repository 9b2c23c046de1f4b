package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSupplementaryFile finds what dwz moved out of a program, by build ID and where the
// program says, and takes no other file for it.
func TestSupplementaryFile(t *testing.T) {
	if _, err := exec.LookPath("dwz"); err != nil {
		t.Skip("needs dwz: ", err)
	}
	program, second := build(t), filepath.Join(t.TempDir(), "second")
	data, err := os.ReadFile(program.debug)
	if err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(t.TempDir(), "first")
	for _, path := range []string{first, second} {
		if err := os.WriteFile(path, data, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	common := filepath.Join(t.TempDir(), "common")
	if out, err := exec.Command("dwz", "-m", common, "-M", "../lib/common", first, second).CombinedOutput(); err != nil {
		t.Skipf("dwz: %v\n%s", err, out)
	}
	link, ok := openELF(t, second).SupplementLink()
	if !ok || link.Path != "../lib/common" {
		t.Fatalf("the link is %+v, %t", link, ok)
	}
	for _, place := range []string{"/opt/lib/common", "/usr/lib/debug/.build-id/" + link.BuildID[:2] + "/" + link.BuildID[2:] + ".debug"} {
		root := t.TempDir()
		put(t, root, place, common)
		found := openSupplement([]string{t.TempDir(), root}, "/opt/bin/program", link)
		if found.err != nil {
			t.Fatalf("at %s: %v", place, found.err)
		}
		if found.path != place {
			t.Errorf("found at %s, want %s", found.path, place)
		}
		found.file.Close()
		other := link
		other.BuildID = "00" + link.BuildID[2:]
		if wrong := openSupplement([]string{root}, "/opt/bin/program", other); !errors.Is(wrong.err, errNoSupplement) {
			t.Errorf("with another build ID: %v", wrong.err)
		}
	}
}
