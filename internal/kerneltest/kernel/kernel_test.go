package kernel

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestReleasesAreCountedNotSpelt(t *testing.T) {
	ordered := []string{"6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.1.1-1-cloud-amd64", "6.12.9+bpo-cloud-amd64", "6.12.9+deb12-cloud-amd64", "6.12.117+deb12-cloud-amd64", "10.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			got := compareReleases(a, b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compareReleases(%s, %s) = %d", a, b, got)
			}
		}
	}
	if got := newest(slices.Clone(ordered[:6])); got != "6.12.117+deb12-cloud-amd64" {
		t.Errorf("newest is %s", got)
	}
}

func TestReleaseOrderIsAnOrder(t *testing.T) {
	name := rapid.StringMatching(`[0-9.a-]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := name.Draw(t, "a"), name.Draw(t, "b"), name.Draw(t, "c")
		if sign(compareReleases(a, b)) != -sign(compareReleases(b, a)) {
			t.Fatalf("%q and %q are not ordered the same from both sides", a, b)
		}
		if compareReleases(a, b) <= 0 && compareReleases(b, c) <= 0 && compareReleases(a, c) > 0 {
			t.Fatalf("%q <= %q <= %q but %q > %q", a, b, c, a, c)
		}
	})
}

func sign(n int) int { return max(-1, min(1, n)) }

// archive stands in for apt on the search path. It offers the packages of the folder offered, each a real Debian package, and notes each command in the file calls.
// "search" answers only once as many "update" commands were run as the file silent says.
type archive struct {
	dir string
}

func newArchive(t *testing.T, silentUntilUpdates int) archive {
	t.Helper()
	builder, err := exec.LookPath("dpkg-deb")
	if err != nil {
		t.Skip("dpkg-deb, which reads Debian packages, is not installed")
	}
	a := archive{dir: t.TempDir()}
	script := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte("#!/bin/sh\nhere='"+a.dir+"'\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	prologue := `while [ "$1" = -o ]; do shift 2; done
echo "$1" >> "$here/calls"
`
	script("apt-cache", prologue+`[ "$(grep -c update "$here/calls")" -ge `+strconv.Itoa(silentUntilUpdates)+` ] || exit 0
for deb in "$here"/offered/*.deb; do name=$(basename "$deb"); echo "${name%%_*} - a kernel"; done
echo "linux-image-6.1.0-99-cloud-amd64-dbg - debug symbols"
`)
	script("apt-get", prologue+`case $1 in
download) cp "$here/offered/$2"_*.deb . || { echo "E: Unable to locate package $2" >&2; exit 100; } ;;
indextargets) printf 'Packages\tDebian\tDebian\tmain\tfile:/mirror/\n' ;;
esac
`)
	if err := os.Symlink(builder, filepath.Join(a.dir, "dpkg-deb")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", a.dir+":"+os.Getenv("PATH"))
	return a
}

// offer builds a package with the given files, path to content.
func (a archive) offer(t *testing.T, name string, files map[string]string) {
	t.Helper()
	root := t.TempDir()
	files["DEBIAN/control"] = "Package: " + name + "\nVersion: 1\nArchitecture: amd64\nMaintainer: test\nDescription: test\n"
	for file, text := range files {
		file = filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	offered := filepath.Join(a.dir, "offered")
	if err := os.MkdirAll(offered, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("dpkg-deb", "--build", root, filepath.Join(offered, name+"_1_amd64.deb")).CombinedOutput(); err != nil {
		t.Fatalf("building a package: %v\n%s", err, out)
	}
}

func (a archive) calls(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, "calls"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

func offerKernel(t *testing.T, a archive, release string) {
	t.Helper()
	a.offer(t, "linux-image-"+release, map[string]string{
		"boot/vmlinuz-" + release: "image of " + release, "boot/config-" + release: "CONFIG_BPF_SYSCALL=y\n", "usr/share/doc/copyright": "text",
	})
}

func TestNewestKernelIsFetchedOnce(t *testing.T) {
	a := newArchive(t, 0)
	offerKernel(t, a, "6.1.0-9-cloud-amd64")
	offerKernel(t, a, "6.1.0-56-cloud-amd64")
	offerKernel(t, a, "6.12.1+deb12-cloud-amd64")
	cache := Cache{Dir: filepath.Join(t.TempDir(), "kernels")}
	for range 2 {
		image, err := cache.Find(t.Context(), "6.1", false)
		if err != nil {
			t.Fatal(err)
		}
		if image.Release != "6.1.0-56-cloud-amd64" || image.Series != "6.1" {
			t.Errorf("found %+v", image)
		}
		if text, err := os.ReadFile(image.Vmlinuz); err != nil || string(text) != "image of 6.1.0-56-cloud-amd64" {
			t.Errorf("the boot image holds %q (%v)", text, err)
		}
		if text, err := os.ReadFile(image.Config); err != nil || string(text) != "CONFIG_BPF_SYSCALL=y\n" {
			t.Errorf("the configuration holds %q (%v)", text, err)
		}
	}
	if got := a.calls(t); got != "search download" {
		t.Errorf("apt was asked: %s", got)
	}
	entries, err := os.ReadDir(cache.Dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the cache holds %v (%v), want the release alone", entries, err)
	}

	offerKernel(t, a, "6.1.0-57-cloud-amd64")
	if image, err := cache.Find(t.Context(), "6.1", true); err != nil || image.Release != "6.1.0-57-cloud-amd64" {
		t.Errorf("refreshing found %+v (%v)", image, err)
	}
	if _, err := cache.Find(t.Context(), "6.1", true); err != nil {
		t.Errorf("refreshing what is there already: %v", err)
	}
}

func TestOtherSourcesAreAskedInTurn(t *testing.T) {
	for updates, calls := range []string{"search download", "search update search download", "search update search indextargets update search download"} {
		a := newArchive(t, updates)
		offerKernel(t, a, "6.12.1+deb12-cloud-amd64")
		cache := Cache{Dir: t.TempDir()}
		if _, err := cache.Find(t.Context(), "6.12", false); err != nil {
			t.Errorf("after %d updates: %v", updates, err)
		}
		if got := a.calls(t); got != calls {
			t.Errorf("after %d updates apt was asked: %s, want %s", updates, got, calls)
		}
	}
}

func TestWhatCannotBeHadIsUnavailable(t *testing.T) {
	a := newArchive(t, 0)
	offerKernel(t, a, "6.1.0-9-cloud-amd64")
	a.offer(t, "linux-image-6.7.1-cloud-amd64", map[string]string{"boot/vmlinuz-6.7.1-cloud-amd64": "no configuration"})
	cache := Cache{Dir: t.TempDir()}
	for _, series := range []string{"6.2", "6.7"} {
		if _, err := cache.Find(t.Context(), series, false); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a %s kernel: %v", series, err)
		}
	}
	if _, err := cache.Find(t.Context(), "../6.1", false); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("a series that is none: %v", err)
	}
	entries, err := os.ReadDir(cache.Dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("failed downloads left %v (%v)", entries, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cache.Find(ctx, "6.1", false); err == nil {
		t.Error("a cancelled search found something")
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := cache.Find(t.Context(), "6.1", false); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without apt: %v", err)
	}
}

func TestBusyboxMustBeStatic(t *testing.T) {
	a := newArchive(t, 0)
	sh, err := os.ReadFile("/bin/sh")
	if err != nil || isStatic("/bin/sh") {
		t.Skip("/bin/sh, the dynamically linked program of this test, is not there")
	}
	if err := os.WriteFile(filepath.Join(a.dir, "busybox"), sh, 0o755); err != nil {
		t.Fatal(err)
	}
	a.offer(t, "busybox-static", map[string]string{"bin/busybox": string(sh)})
	if path, err := (Cache{Dir: t.TempDir()}).Busybox(t.Context()); err == nil {
		t.Errorf("a dynamically linked busybox was taken: %s", path)
	}
	self, err := os.Executable()
	if err != nil || !isStatic(self) {
		t.Skip("this test binary is not static (built with cgo), so it cannot stand in for busybox")
	}
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	a.offer(t, "busybox-static", map[string]string{"usr/bin/busybox": string(text)})
	cache := Cache{Dir: t.TempDir()}
	path, err := cache.Busybox(t.Context())
	if err != nil || !isStatic(path) {
		t.Errorf("a static busybox was not taken: %q (%v)", path, err)
	}
}
