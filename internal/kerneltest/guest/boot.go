package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// environment is what a root shell on a Debian host has.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "TERM=dumb"}

// mounts are the file systems that tests find on a host, parents first.
var mounts = []struct{ kind, target, data string }{
	{"proc", "/proc", ""},
	{"sysfs", "/sys", ""},
	{"devtmpfs", "/dev", ""},
	{"devpts", "/dev/pts", "ptmxmode=0666"},
	{"tmpfs", "/dev/shm", "mode=1777"},
	{"tmpfs", "/run", "mode=0755"},
	{"tmpfs", "/tmp", "mode=1777"},
	{"cgroup2", "/sys/fs/cgroup", ""},
	{"bpf", "/sys/fs/bpf", "mode=0700"},
	{"debugfs", "/sys/kernel/debug", ""},
	{"tracefs", "/sys/kernel/tracing", ""},
}

// Boot is the main function of the test machine's only own program. As process 1 it makes the machine ready, starts itself a second time as the runner, waits and switches the
// power off; it returns only when that is impossible. As any other process it is the runner, and returns its exit code.
func Boot() int {
	if os.Getpid() != 1 {
		if err := runAll(); err != nil {
			fmt.Fprintln(os.Stderr, "kerneltest:", err)
			return 1
		}
		return 0
	}
	if err := firstProcess(); err != nil {
		fmt.Fprintln(os.Stderr, "kerneltest:", err)
	}
	unix.Sync()
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Fprintln(os.Stderr, "kerneltest: switching the power off:", err)
	return 1
}

// firstProcess prepares the machine, starts the runner and collects every process that ends until the runner has.
func firstProcess() error {
	os.Clearenv()
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("setting the environment: %w", err)
		}
	}
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", m.target, err)
		}
		if err := unix.Mount(m.kind, m.target, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.kind, m.target, err)
		}
	}
	for link, target := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2"} {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("linking %s: %w", link, err)
		}
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	if out, err := exec.Command("/bin/busybox", "--install", "-s", "/bin").CombinedOutput(); err != nil {
		return fmt.Errorf("installing the shell: %w: %s", err, out)
	}
	// The runner waits for its own children by their IDs; orphans come here, and must be waited for by nobody else.
	runner, err := os.StartProcess("/init", []string{"kerneltest-runner"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return fmt.Errorf("starting the runner: %w", err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for the runner: %w", err)
		case pid == runner.Pid && (status.Signaled() || status.ExitStatus() != 0):
			return fmt.Errorf("the runner ended with wait status %#x", uint32(status))
		case pid == runner.Pid:
			return nil
		}
	}
}

// loopbackUp sets lo's flag IFF_UP, upon which the kernel gives it 127.0.0.1.
func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bringing up the loopback interface: %w", err)
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err == nil {
		request.SetUint16(unix.IFF_UP)
		err = unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
	}
	if err != nil {
		return fmt.Errorf("bringing up the loopback interface: %w", err)
	}
	return nil
}

// runAll runs the plan and sends the events to the second serial line.
func runAll() error {
	port, err := os.OpenFile(Port, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("opening the line to the host: %w", err)
	}
	defer port.Close()
	fd := int(port.Fd())
	if err := makeRaw(fd); err != nil {
		return err
	}
	plan, err := ReadPlan(PlanPath)
	if err != nil {
		return err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("asking for the kernel's release: %w", err)
	}
	if err := Run(context.Background(), plan, unix.ByteSliceToString(name.Release[:]), port); err != nil {
		return err
	}
	// TCSBRK with a non-zero argument is tcdrain(3): power must not go before the last byte has.
	if err := unix.IoctlSetInt(fd, unix.TCSBRK, 1); err != nil {
		return fmt.Errorf("draining the line to the host: %w", err)
	}
	return nil
}

// makeRaw switches off the terminal's output processing, which would turn each newline into two bytes.
func makeRaw(fd int) error {
	settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		settings.Oflag &^= unix.OPOST
		settings.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
		err = unix.IoctlSetTermios(fd, unix.TCSETS, settings)
	}
	if err != nil {
		return fmt.Errorf("making %s raw: %w", Port, err)
	}
	return nil
}
