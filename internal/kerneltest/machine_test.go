package kerneltest

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/internal/kerneltest/guest"
	"github.com/narrows-profiler/narrows/internal/kerneltest/kernel"
)

// emulate puts a shell script in the emulator's place on the search path. $console in it is the file for the first serial line.
func emulate(t *testing.T, script string) machine {
	t.Helper()
	dir := t.TempDir()
	prologue := "#!/bin/sh\nfor argument; do case $argument in file:*) console=${argument#file:};; esac; done\n"
	if err := os.WriteFile(filepath.Join(dir, emulator), []byte(prologue+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return machine{console: filepath.Join(dir, "console"), memoryMiB: 256, processors: 2, silence: time.Minute}
}

func TestMachineFailures(t *testing.T) {
	up := `echo '{"kind":"up"}'; `
	for name, test := range map[string]struct {
		script string
		want   []string
	}{
		"ends well":       {up + `echo '{"kind":"done"}'`, nil},
		"stops at once":   {`echo starting > $console`, []string{"stopped before its init reported", "    starting"}},
		"stops in tests":  {up + `: > $console`, []string{"stopped before its tests had ended"}},
		"panics":          {up + `{ echo first; printf 'x Kernel panic - not syncing: why\r\n'; seq 100; } > $console`, []string{"ended: Kernel panic - not syncing: why\n", "    100"}},
		"cannot start":    {`echo 'no such machine' >&2; exit 1`, []string{"no such machine", "exit status 1", "console cannot be read"}},
		"talks nonsense":  {`: > $console; echo hello; exec sleep 1000`, []string{"what is no event", "hello"}},
		"says too much":   {`: > $console; exec head -c 2000000 /dev/zero`, []string{"token too long"}},
		"handler refuses": {`: > $console; echo '{"kind":"alive"}'; exec sleep 1000`, []string{"refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := emulate(t, test.script).run(t.Context(), func(event guest.Event) error {
				if event.Kind == guest.Alive {
					return errors.New("refused")
				}
				return nil
			})
			if (err == nil) != (test.want == nil) {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "first") {
				t.Error("more of the console is shown than its end")
			}
		})
	}
}

func TestSilentMachineIsKilled(t *testing.T) {
	m := emulate(t, `echo $$ > $console; echo '{"kind":"up"}'; exec sleep 1000`)
	m.silence = time.Second
	err := m.run(t.Context(), func(guest.Event) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "said nothing for 1s") {
		t.Errorf("the machine came out as %v", err)
	}
	expectNoProcess(t, m.console)

	m.silence = time.Hour
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("it was not done in time"))
	defer cancel()
	if err := m.run(ctx, func(guest.Event) error { return nil }); err == nil || !strings.Contains(err.Error(), "not done in time") {
		t.Errorf("the machine came out as %v", err)
	}
	expectNoProcess(t, m.console)
}

// expectNoProcess fails if the process whose ID is the file's content is there.
func expectNoProcess(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join("/proc", strings.TrimSpace(string(text)))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the emulator, process %s, still runs", text)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("{\"kind\":\"up\",\"release\":\"6.1\"}\n{\"kind\":\"begin\",\"package\":\"p\"}\n{\"kind\":\"output\",\"output\":\"eA==\"}\n{\"kind\":\"done\"}\n")
	f.Add("{\"kind\":\"end\",\"exit_code\":-1,\"elapsed_ns\":1e3}\n")
	f.Add("\x00\xff\n{}\n")
	f.Fuzz(func(t *testing.T, stream string) {
		watchdog := time.AfterFunc(time.Hour, func() {})
		defer watchdog.Stop()
		lines := 0
		for scanner := bufio.NewScanner(strings.NewReader(stream)); scanner.Scan(); {
			lines++
		}
		handled := 0
		seen := events{silence: time.Hour, watchdog: watchdog}
		err := seen.read(strings.NewReader(stream), func(guest.Event) error { handled++; return nil })
		if handled > lines || err == nil && len(stream) < bufio.MaxScanTokenSize && handled != lines {
			t.Errorf("%d events from %d lines (%v)", handled, lines, err)
		}
	})
}

func TestImageHoldsTestsAndPlan(t *testing.T) {
	tool, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio, which reads the image back, is not installed")
	}
	dir := t.TempDir()
	host := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return file
	}
	c := Defaults()
	c.Env, c.Pattern, c.Files = []string{"A=b"}, "TestX", []File{{Host: host("target", "t"), Guest: "/opt/target"}}
	host("source/testdata/deep/word", "w")
	image := filepath.Join(dir, "image")
	err = writeImage(image, c, kernel.Image{Series: "6.1", Release: "6.1.0-9", Config: host("config", "CONFIG_X=y\n")}, parts{
		init: host("init", "i"), busybox: host("busybox", "b"),
		binaries: []testBinary{{importPath: "example.org/p", host: host("p.test", "p"), sourceDir: filepath.Join(dir, "source"), guestDir: "/src/p"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool, "-i", "--quiet", "--no-absolute-filenames", "-F", image)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	for name, want := range map[string]string{
		"init": "i", "bin/busybox": "b", "opt/target": "t", "boot/config-6.1.0-9": "CONFIG_X=y\n", "kerneltest/0.test": "p", "src/p/testdata/deep/word": "w",
	} {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v)", name, got, err)
		}
	}
	plan, err := guest.ReadPlan(filepath.Join(root, guest.PlanPath))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(plan.Env, " "); got != "NARROWS_TEST_KERNEL=6.1 A=b" {
		t.Errorf("the environment is %s", got)
	}
	if b := plan.Binaries[0]; b.Path != "/kerneltest/0.test" || b.Dir != "/src/p" || b.Package != "example.org/p" || !strings.Contains(strings.Join(b.Args, " "), "-test.run=TestX") || b.Limit <= c.PackageTimeout {
		t.Errorf("the plan says %+v", b)
	}
}
