package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// failure is a command line that cannot succeed and what it has to say.
type failure struct {
	name   string
	args   []string
	status int
	says   []string // what failed, why, and what to do
}

// check runs a failing command line and wants the message, the status and an
// empty folder after it.
func (f failure) check(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	r := finish(t, cmd)
	if r.status != f.status {
		t.Errorf("exit status %d, want %d", r.status, f.status)
	}
	for _, part := range f.says {
		if !strings.Contains(r.stderr, part) {
			t.Errorf("standard error lacks %q", part)
		}
	}
	if strings.Count(r.stderr, "narrows: ") != 1 {
		t.Error("standard error does not hold exactly one message")
	}
	if r.stdout != "" {
		t.Errorf("standard output is %q", r.stdout)
	}
	if left := entries(t, cmd.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if t.Failed() {
		t.Logf("%s\n%s", strings.Join(cmd.Args, " "), r.stderr)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range list {
		names = append(names, entry.Name())
	}
	return names
}

// Command lines that make no sense end with status 2 before anything happens.
func TestBadCommandLines(t *testing.T) {
	for _, f := range []failure{
		{name: "no such command", args: []string{"frobnicate"}, says: []string{"frobnicate"}},
		{name: "no such flag", args: []string{"record", "--frobnicate"}, says: []string{"--frobnicate"}},
		{name: "duration without unit", args: []string{"record", "-d", "10"}, says: []string{"--duration", `"10"`}},
		{name: "negative duration", args: []string{"record", "--duration=-3s"}, says: []string{"-3s"}},
		{name: "frequency 0", args: []string{"record", "-F", "0"}, says: []string{"frequency of 0", "use 1 to 10000"}},
		{name: "frequency too high", args: []string{"run", "-F", "100000"}, says: []string{"100000", "use 1 to 10000"}},
		{name: "window 0", args: []string{"record", "--window", "0s"}, says: []string{"windows of 0s", "at least 100ms"}},
		{name: "pid that is no number", args: []string{"record", "-p", "bash"}, says: []string{"--pid", "bash"}},
		{name: "negative iterations", args: []string{"bench", "--iterations=-3"}, says: []string{"-3 iterations"}},
		{name: "negative concurrency", args: []string{"run", "--concurrent_requests=-1"}, says: []string{"-1 requests"}},
		{name: "target without URL", args: []string{"bench", "--target", "ryot"}, says: []string{"--target"}},
		{name: "unknown profiler", args: []string{"bench", "--profiler", "gpu"}, says: []string{"--profiler", "cpu"}},
		{name: "allocations of nobody", args: []string{"record", "--alloc"}, says: []string{"--alloc", "-p PID"}},
		{name: "allocations without waits", args: []string{"record", "--alloc", "--no-waits", "-p", "1"}, says: []string{"--no-waits"}},
		{name: "allocations without probes", args: []string{"record", "--alloc", "--max-slowdown", "0", "-p", "1"}, says: []string{"--max-slowdown 0"}},
		{name: "allocations into one file", args: []string{"record", "--alloc", "-p", "1", "-o", "a.pb.gz"}, says: []string{"name a folder"}},
		{name: "an allocation for no byte", args: []string{"record", "--alloc", "--alloc-rate", "0", "-p", "1"}, says: []string{"--alloc-rate 1"}},
		{name: "an allocation of the kernel for no byte", args: []string{"record", "--kernel-alloc", "--kernel-alloc-rate", "0"}, says: []string{"--kernel-alloc-rate 1"}},
		{name: "the kernel's allocations in a flame graph", args: []string{"record", "--kernel-alloc", "-o", "x.svg"}, says: []string{"a folder with -o"}},
		{name: "flame without input", args: []string{"flame"}, says: []string{"<input>"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			f.status = 2
			f.says = append(f.says, "see: narrows --help")
			f.check(t, narrows(t, f.args...))
		})
	}
}

// What is wrong with the world, but needs no privilege to find out.
func TestErrorsSayWhatToDo(t *testing.T) {
	occupied, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer occupied.Close()
	for _, f := range []failure{
		{name: "unknown benchmark", args: []string{"bench", "--benchmark", "TokenGenratoin"},
			says: []string{`"TokenGenratoin"`, "did you mean TokenGenerationBenchmark?", "bench --list"}},
		{name: "unreachable target", args: []string{"bench", "--target", "ryot=http://127.0.0.1:1"},
			says: []string{"http://127.0.0.1:1", "connection refused", "start the service, or correct --target ryot=URL"}},
		{name: "target that is no URL", args: []string{"bench", "--target", "ryot=localhost"},
			says: []string{`"localhost"`, "--target ryot=URL"}},
		{name: "target of no benchmark", args: []string{"bench", "--target", "riot=http://127.0.0.1:1"},
			says: []string{`"riot"`, "there are: ", "ryot"}},
		{name: "unknown fault", args: []string{"bench", "--plant", "ryot=riot"},
			says: []string{`"riot"`, "prompt-logits", "=fixed"}},
		{name: "fault in a service of the user's", args: []string{"bench", "--benchmark", "TokenGeneration", "--plant", "ryot=prompt-logits", "--target", "ryot=http://127.0.0.1:1"},
			says: []string{"its reference service does not run", "--target"}},
		{name: "port in use", args: []string{"serve", "ryot", "--listen", occupied.Addr().String()},
			says: []string{occupied.Addr().String(), "address already in use", "--listen"}},
		{name: "no such profile", args: []string{"flame", "missing.pb.gz"},
			says: []string{"missing.pb.gz", "no such file", "name a pprof file or a session folder"}},
		{name: "no session", args: []string{"flame", t.TempDir()},
			says: []string{"no session.json"}},
		{name: "no profile", args: []string{"flame", filepath.Join(programs, narrowsName)},
			says: []string{"as a pprof file", "name a pprof file or a session folder"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			f.status = 1
			f.check(t, narrows(t, f.args...))
		})
	}
}

// A target that answers, but not what was asked, fails the benchmark, and the
// session says so.
func TestTargetThatAnswersGarbage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "\x00\x1b[2Jdata: {\"no")
	}))
	defer server.Close()
	cmd := narrows(t, "bench", "--benchmark", "FirstTokenLatency", "--iterations", "5", "--target", "ryot="+server.URL, "-o", "s")
	r := finish(t, cmd)
	if r.status != 1 || !strings.Contains(r.stderr, "the benchmark failed: none of ") {
		t.Errorf("exit status %d\n%s", r.status, r.stderr)
	}
	if strings.Contains(r.stdout+r.stderr, "\x1b") {
		t.Error("the target's escape sequence reached the terminal")
	}
	s := checkSession(t, filepath.Join(cmd.Dir, "s"))
	if s.Status != "failed" || !strings.Contains(s.Reason, "none of ") {
		t.Errorf("status %q, reason %q", s.Status, s.Reason)
	}
	if strings.Contains(r.stdout, "sudo narrows run") {
		t.Error("a failed benchmark is recommended for profiling")
	}
}

// The errors of record that root meets.
func TestRecordErrors(t *testing.T) {
	requireRecording(t)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("no interpreter is named here\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "folder.svg")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []failure{
		{name: "missing command", args: []string{"record", "--", "/no/such"},
			says: []string{"/no/such", "no such file", "check the name"}},
		{name: "command that is not on the PATH", args: []string{"record", "--", "no-such-program"},
			says: []string{"no-such-program", "not found in $PATH", "check the name"}},
		{name: "command that cannot be executed", args: []string{"record", "--", script},
			says: []string{script, "exec format error", "a script whose first line is #!"}},
		{name: "missing process", args: []string{"record", "-p", "2147483647"},
			says: []string{"no process 2147483647", "ps or pgrep"}},
		{name: "process 0", args: []string{"record", "-p", "0"},
			says: []string{"no process 0"}},
		{name: "missing cgroup", args: []string{"record", "--cgroup", "no/such"},
			says: []string{"no/such", "cgroup v2"}},
		{name: "session below a missing folder", args: []string{"record", "-d", "1s", "-o", "/no/such/s"},
			says: []string{"/no/such/s", "parent folder does not exist", "create that first"}},
		{name: "flame graph below a missing folder", args: []string{"record", "-d", "1h", "-o", "/no/such/x.svg"},
			says: []string{"/no/such/x.svg", "no such file", "create its folder first"}},
		{name: "profile below a missing folder", args: []string{"record", "-d", "1h", "-o", "/no/such/x.pb.gz"},
			says: []string{"/no/such/x.pb.gz", "create its folder first"}},
		{name: "existing folder", args: []string{"record", "-d", "1h", "-o", t.TempDir()},
			says: []string{"never overwrites", "-o"}},
		{name: "existing folder in place of a file", args: []string{"record", "-d", "1h", "-o", folder},
			says: []string{folder, "it is a folder", "-o"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			f.status = 1
			f.check(t, narrows(t, f.args...))
		})
	}
}

// nobody is the user without any right, the same number everywhere Linux runs.
const nobody = 65534

// asNobody turns a prepared command line into one of an ordinary user in a folder
// of its own.
func asNobody(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		return cmd // it is one already
	}
	dir, err := os.MkdirTemp("", "narrows-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

func TestWithoutRoot(t *testing.T) {
	for _, args := range [][]string{{"record", "-d", "1s"}, {"record", "-o", "x.svg", "--", "true"}, {"run"}, {"bench", "--profiler", "cpu"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			failure{status: 1, says: []string{"needs root", "loads eBPF programs", "sudo narrows"}}.check(t, asNobody(t, narrows(t, args...)))
		})
	}
	t.Run("folder that is not ours", func(t *testing.T) {
		f := failure{status: 1, says: []string{"/narrows-session", "permission denied", "choose a folder that you may write to"}}
		f.check(t, asNobody(t, narrows(t, "bench", "-o", "/narrows-session")))
	})
	t.Run("doctor", func(t *testing.T) {
		r := finish(t, asNobody(t, narrows(t, "doctor")))
		if r.status != 1 || !strings.Contains(r.stdout, "MISSING  root ") || !strings.Contains(r.stdout, "what to do: run it with sudo") {
			t.Errorf("exit status %d\n%s", r.status, r.stdout)
		}
		if !strings.Contains(r.stderr, "root, ") || strings.Contains(r.stdout, "verifier") {
			t.Errorf("stdout:\n%sstderr:\n%s", r.stdout, r.stderr)
		}
	})
}

// withoutBTF runs a command line where the kernel publishes no types: an empty
// file system lies over them in a mount namespace of its own.
func withoutBTF(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	requireRoot(t, "hides a folder of /sys in a mount namespace")
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("needs unshare(1): ", err)
	}
	args := append([]string{"-m", "sh", "-c", `mount -t tmpfs none /sys/kernel/btf && exec "$@"`, "sh"}, cmd.Args...)
	hidden := exec.Command(unshare, args...)
	hidden.Dir = cmd.Dir
	return hidden
}

func TestWithoutBTF(t *testing.T) {
	for _, args := range [][]string{{"record", "-d", "1s"}, {"run"}} {
		t.Run(args[0], func(t *testing.T) {
			f := failure{status: 1, says: []string{"/sys/kernel/btf/vmlinux", "6.1 or later", "CONFIG_DEBUG_INFO_BTF=y"}}
			f.check(t, withoutBTF(t, narrows(t, args...)))
		})
	}
	t.Run("doctor", func(t *testing.T) {
		r := finish(t, withoutBTF(t, narrows(t, "doctor")))
		if r.status != 1 || !strings.Contains(r.stdout, "MISSING  BTF ") || !strings.Contains(r.stdout, "it needs BTF, see above") {
			t.Errorf("exit status %d\n%s", r.status, r.stdout)
		}
	})
}

// A folder that takes no files, even from root.
func TestReadOnlyFileSystem(t *testing.T) {
	requireRecording(t)
	disk := mountDisk(t, "64k")
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skip("a file system cannot be made read-only here: ", err)
	}
	for _, output := range []string{"s", "x.svg", "x.pb.gz"} {
		t.Run(output, func(t *testing.T) {
			f := failure{status: 1, says: []string{output, "read-only file system", "-o"}}
			f.check(t, narrows(t, "record", "-d", "1h", "-o", filepath.Join(disk, output)))
		})
	}
}

// mountDisk mounts a tiny file system, or skips.
func mountDisk(t *testing.T, size string) string {
	t.Helper()
	requireRoot(t, "mounts a tiny file system")
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("no file system can be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// The message of an error is printed once, whatever was joined to it.
func TestEarlyEndHidesNoFailure(t *testing.T) {
	ended := interruption{syscall.SIGTERM}
	other := errors.New("the disk is full")
	for _, test := range []struct {
		err    error
		status int
		says   string
	}{
		{nil, 0, ""},
		{ended, 143, "narrows: ended early by signal 15 (terminated)\n"},
		{errors.Join(fmt.Errorf("A: %w", ended), context.Canceled, ended), 143, "narrows: ended early by signal 15 (terminated)\n"},
		{errors.Join(ended, other), 1, "narrows: ended early by signal 15 (terminated)\nthe disk is full\n"},
		{fmt.Errorf("A: %w", errors.Join(other, ended)), 1, "narrows: A: the disk is full\nended early by signal 15 (terminated)\n"},
		{childError{"make: exit status 2", 2}, 2, "narrows: make: exit status 2\n"},
		{advisedError{other, "buy one"}, 1, "narrows: the disk is full\n  what to do: buy one\n"},
	} {
		var out strings.Builder
		if status := conclude(&out, test.err); status != test.status || out.String() != test.says {
			t.Errorf("%v: status %d, %q; want %d, %q", test.err, status, out.String(), test.status, test.says)
		}
	}
}
