package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestCommandLine(t *testing.T) {
	var complaints bytes.Buffer
	c, require, err := parse([]string{
		"-kernel", "6.1", "--kernel=6.12", "-run", "TestX", "-env", "A=b", "-env", "C=d", "-file", "a:/b", "-timeout", "1m", "-memory", "512", "-require", "-cache", "here", "./p", "./q/...",
	}, &complaints)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(c.Series, " ") != "6.1 6.12" || strings.Join(c.Packages, " ") != "./p ./q/..." || strings.Join(c.Env, " ") != "A=b C=d" || c.Pattern != "TestX" ||
		len(c.Files) != 1 || c.Files[0].Guest != "/b" || c.PackageTimeout != time.Minute || c.MemoryMiB != 512 || c.Cache.Dir != "here" || !require {
		t.Errorf("the command line came out as %+v, required %v", c, require)
	}
	for _, args := range [][]string{{}, {"-kernel", "6.1"}, {"./p"}, {"-nonsense"}, {"-file", "x", "-kernel", "6.1", "./p"}} {
		complaints.Reset()
		if code := run(t.Context(), args, &bytes.Buffer{}, &complaints); code != 2 || complaints.Len() == 0 {
			t.Errorf("%q: code %d, %q", args, code, complaints.String())
		}
	}
}

func TestMissingEmulatorFailsOnlyWhereRequired(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for value, want := range map[string]int{"": 0, "true": 1} {
		t.Setenv("CI", value)
		var out, complaints bytes.Buffer
		if code := run(t.Context(), []string{"-kernel", "6.1", "-cache", t.TempDir(), "./p"}, &out, &complaints); code != want {
			t.Errorf("with CI=%q the code is %d, %s", value, code, complaints.String())
		}
		if !strings.Contains(out.String(), "skipped: qemu-system-x86_64 is not installed") {
			t.Errorf("the reason is not printed: %s", out.String())
		}
	}
}
