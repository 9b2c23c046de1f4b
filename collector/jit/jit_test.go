package jit

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
)

// ownList writes this process's list and returns its path.
func ownList(t *testing.T, text string) string {
	t.Helper()
	path := fmt.Sprintf("/tmp/perf-%d.map", os.Getpid())
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Skip("writing to /tmp: ", err)
	}
	t.Cleanup(func() { os.Remove(path) })
	return path
}

func own() *program { return &program{pid: uint32(os.Getpid()), names: map[string]*Function{}} }

func (p *program) expect(t *testing.T, addr, time uint64, want string) {
	t.Helper()
	f, ok := p.name(addr, time)
	if ok != (want != "") || ok && f.Name != want {
		t.Errorf("%#x at %d is named %+v, %t; want %q", addr, time, f, ok, want)
	}
}

func TestListIsFollowed(t *testing.T) {
	path := ownList(t, "1000 10 JS:*hot /srv/app.js:10:13\n")
	p := own()
	if _, found, err := p.poll(100, true); err != nil || !found {
		t.Fatalf("found %t, %v", found, err)
	}
	f, ok := p.name(0x1008, 100)
	if !ok || *f != (Function{"hot", "JS:*hot /srv/app.js:10:13", "/srv/app.js", 10}) {
		t.Errorf("named %+v, %t", f, ok)
	}
	if again, _ := p.name(0x1009, 100); again != f {
		t.Error("the same function has two pointers")
	}
	list, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	if _, err := list.WriteString("1000 10 other\n2000 10 next\n"); err != nil {
		t.Fatal(err)
	}
	if _, found, err := p.poll(200, true); err != nil || found {
		t.Fatalf("found again %t, %v", found, err)
	}
	p.expect(t, 0x1000, 100, "hot")
	p.expect(t, 0x1000, 200, "other")
	p.expect(t, 0x2000, 200, "next")

	// Rewritten in place, and replaced by another file.
	if err := os.WriteFile(path, []byte("3000 10 anew\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.poll(300, true); err != nil {
		t.Fatal(err)
	}
	p.expect(t, 0x2000, 200, "next")
	p.expect(t, 0x2000, 300, "")
	p.expect(t, 0x3000, 300, "anew")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path + ".old") })
	ownList(t, "4000 10 replaced\n")
	if _, _, err := p.poll(400, true); err != nil {
		t.Fatal(err)
	}
	p.expect(t, 0x3000, 400, "")
	p.expect(t, 0x4000, 400, "replaced")
	if _, _, err := p.poll(500, false); err == nil {
		t.Error("a list was read although all have too much")
	}
}

// What could be somebody else's word is not taken for the process's.
func TestListsThatAreNotTrusted(t *testing.T) {
	path := ownList(t, "1000 10 f\n")
	elsewhere := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(elsewhere, []byte("1000 10 f\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := func(make func() error) func() error {
		return func() error { return errors.Join(os.Remove(path), make()) }
	}
	for name, test := range map[string]struct {
		change func() error
		want   error
	}{
		"link":      {fresh(func() error { return os.Symlink(elsewhere, path) }), nil},
		"pipe":      {fresh(func() error { return unix.Mkfifo(path, 0o644) }), ErrNotTrusted},
		"folder":    {fresh(func() error { return os.Mkdir(path, 0o755) }), ErrNotTrusted},
		"for all":   {func() error { return os.Chmod(path, 0o666) }, ErrNotTrusted},
		"outdated":  {func() error { old := time.Now().Add(-time.Hour * 24 * 365 * 10); return os.Chtimes(path, old, old) }, os.ErrNotExist},
		"no list":   {func() error { return os.Remove(path) }, os.ErrNotExist},
		"another's": {func() error { return os.Chown(path, 12345, -1) }, ErrNotTrusted},
	} {
		t.Run(name, func(t *testing.T) {
			os.RemoveAll(path)
			ownList(t, "1000 10 f\n")
			if err := test.change(); err != nil {
				t.Skip("making the list such: ", err)
			}
			p := own()
			_, found, err := p.poll(1, true)
			if err == nil || found || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("found %t, %v; want %v", found, err, test.want)
			}
			p.expect(t, 0x1000, 1, "")
		})
	}
}

// A process in a container has a root and a number of its own.
func TestContainer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	tmp := t.TempDir()
	if err := os.WriteFile(filepath.Join(tmp, "perf-1.map"), []byte("1000 10 inside\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `mount --bind "$1" /tmp && echo ready && read end`, "sh", tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("starting a process in namespaces of its own: ", err)
	}
	defer cmd.Wait()
	defer input.Close()
	if ready, err := bufio.NewReader(output).ReadString('\n'); err != nil || ready != "ready\n" {
		t.Skip("the process could not mount another /tmp: ", err)
	}
	p := &program{pid: uint32(cmd.Process.Pid), names: map[string]*Function{}}
	if _, found, err := p.poll(1, true); err != nil || !found {
		t.Fatalf("found %t, %v", found, err)
	}
	p.expect(t, 0x1000, 1, "inside")
}

// An exec, an exit and a reused PID do not pass names on.
func TestLifetimes(t *testing.T) {
	ownList(t, "1000 10 f\n")
	now := uint64(100)
	w := New(func() uint64 { return now })
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	pid := uint32(os.Getpid())
	event := func(kind lifecycle.Kind, time uint64) {
		w.Apply(lifecycle.Event{Kind: kind, PID: pid, Time: time, Mapping: lifecycle.Mapping{Path: "//anon"}})
	}
	event(lifecycle.Map, 10)
	w.mu.Lock()
	first := w.running(pid)
	w.mu.Unlock()
	if first == nil {
		t.Fatal("a process with memory for code is not followed")
	}
	first.mu.Lock()
	err := first.table.Read(strings.NewReader("1000 10 f\n"), 15)
	first.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	event(lifecycle.Map, 20)
	event(lifecycle.Exec, 30)
	for time, want := range map[uint64]bool{15: true, 30: true, 31: false} {
		if _, ok := w.Name(pid, 0x1000, time); ok != want {
			t.Errorf("at %d it has a name: %t, want %t", time, ok, want)
		}
	}
	event(lifecycle.Map, 40)
	if p := func() *program { w.mu.Lock(); defer w.mu.Unlock(); return w.running(pid) }(); p == nil || p == first || p.since != 30 {
		t.Errorf("after its exec the process is followed as %+v", p)
	}
	event(lifecycle.Exit, 50)
	if _, ok := w.Name(pid, 0x1000, 15); !ok {
		t.Error("names were forgotten before the samples were replayed")
	}
	if _, ok := w.Name(pid+1, 0x1000, 15); ok {
		t.Error("another process got the names")
	}
}
