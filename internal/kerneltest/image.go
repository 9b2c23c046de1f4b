package kerneltest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/narrows-profiler/narrows/internal/kerneltest/guest"
	"github.com/narrows-profiler/narrows/internal/kerneltest/initramfs"
	"github.com/narrows-profiler/narrows/internal/kerneltest/kernel"
)

// killAfter is how long after its own -test.timeout a test binary is killed; in between it prints its goroutines.
const killAfter = 15 * time.Second

// parts are what every machine's initramfs is made of.
type parts struct {
	init     string // host paths
	busybox  string
	binaries []testBinary
}

// writeImage writes the initramfs for one kernel to the file name.
func writeImage(name string, c Config, image kernel.Image, p parts) (err error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("writing the initramfs: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// Not compressed: an emulated processor needs longer to unpack the archive than the host to load it.
	buffered := bufio.NewWriterSize(file, 1<<20)
	archive := initramfs.NewWriter(buffered)
	if err := addSystem(archive, image, p); err != nil {
		return err
	}
	if err := addTests(archive, c, image, p.binaries); err != nil {
		return err
	}
	for _, extra := range c.Files {
		if err := archive.Tree(extra.Guest, extra.Host); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("writing the initramfs: %w", err)
	}
	return nil
}

// addSystem adds what a machine needs whatever it tests.
func addSystem(archive *initramfs.Writer, image kernel.Image, p parts) error {
	steps := []error{
		archive.File("/init", p.init),
		archive.File("/bin/busybox", p.busybox),
		archive.File("/boot/config-"+image.Release, image.Config),
		archive.Directory("/root", 0o700),
		archive.Bytes("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")),
		archive.Bytes("/etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n")),
		archive.Bytes("/etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n")),
		archive.Directory("/var/tmp", 0o777),
	}
	for _, link := range []string{"/sbin", "/usr/bin", "/usr/sbin"} {
		steps = append(steps, archive.Symlink(link, "/bin"))
	}
	return errors.Join(steps...)
}

// addTests adds the test binaries, their testdata and the plan to run them.
func addTests(archive *initramfs.Writer, c Config, image kernel.Image, binaries []testBinary) error {
	plan := guest.Plan{Env: append([]string{KernelVariable + "=" + image.Series}, c.Env...)}
	for i, binary := range binaries {
		inGuest := fmt.Sprintf("/kerneltest/%d.test", i)
		if err := archive.File(inGuest, binary.host); err != nil {
			return err
		}
		if err := archive.Directory(binary.guestDir, 0o755); err != nil {
			return err
		}
		data := filepath.Join(binary.sourceDir, "testdata")
		if info, err := os.Stat(data); err == nil && info.IsDir() {
			if err := archive.Tree(binary.guestDir+"/testdata", data); err != nil {
				return err
			}
		}
		args := []string{"-test.v=test2json", "-test.paniconexit0", "-test.timeout=" + c.PackageTimeout.String()}
		if c.Pattern != "" {
			args = append(args, "-test.run="+c.Pattern)
		}
		plan.Binaries = append(plan.Binaries, guest.Binary{
			Package: binary.importPath, Path: inGuest, Dir: binary.guestDir, Args: args, Limit: c.PackageTimeout + killAfter,
		})
	}
	text, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	return archive.Bytes(guest.PlanPath, 0o644, text)
}
