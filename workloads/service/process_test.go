package service

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// roleVariable makes this test binary play a service.
const roleVariable = "NARROWS_TEST_SERVICE_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role)
		return
	}
	goleak.VerifyTestMain(m)
}

func play(role string) {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	switch role {
	case "dies":
		fmt.Fprintln(os.Stderr, "loading the weights: \x1b[31mno such file")
		os.Exit(3)
	case "silent":
		<-terminated
	case "chatty":
		fmt.Println("hello, I am a service")
		<-terminated
	case "endless line":
		for {
			if _, err := os.Stdout.WriteString(strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	case "other":
		announce("sigmalang", "http://127.0.0.1:1")
		<-terminated
	case "elsewhere":
		announce("ryot", "http://192.0.2.1:80")
		<-terminated
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		announce("ryot", "http://127.0.0.1:1")
		select {}
	case "crashes":
		announce("ryot", "http://127.0.0.1:1")
		fmt.Fprintln(os.Stderr, "panic: index out of range")
		os.Exit(2)
	case "hoarder":
		hoard := make([]byte, 64<<20)
		for i := range hoard {
			hoard[i] = byte(i)
		}
		announce("ryot", "http://127.0.0.1:1")
		<-terminated
		runtime.KeepAlive(hoard)
	case "well":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		announce("ryot", "http://"+listener.Addr().String()+"/")
		fmt.Println("later lines are dropped")
		<-terminated
	case "parent":
		process, err := Start(context.Background(), Command{Service: "ryot", Arguments: []string{"env", roleVariable + "=well", os.Args[0]}})
		fmt.Println(process.PID, err)
		select {}
	}
}

func announce(service, url string) {
	line, err := json.Marshal(announcement{Service: service, URL: url, PID: os.Getpid(), Model: "tiny"})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

// as returns a command that plays the given role.
func as(t *testing.T, role string) Command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Command{Service: "ryot", Arguments: []string{"env", roleVariable + "=" + role, self}}
}

func TestStartAndStop(t *testing.T) {
	process, err := Start(t.Context(), as(t, "well"))
	if err != nil {
		t.Fatal(err)
	}
	if process.Kind != Reference || process.Model != "tiny" || process.PID != process.ID() || strings.HasSuffix(process.URL, "/") {
		t.Errorf("endpoint %+v", process.Endpoint)
	}
	if err := process.Stop(); err != nil {
		t.Error(err)
	}
	if state := process.State(); !state.Success() {
		t.Errorf("ended as %v, want a clean end by SIGTERM", state)
	}
}

func TestStopKillsTheStubborn(t *testing.T) {
	command := as(t, "stubborn")
	command.Grace = 100 * time.Millisecond
	process, err := Start(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Stop(); err != nil {
		t.Error(err)
	}
	if status := process.State().Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("ended as %v, want SIGKILL", process.State())
	}
}

func TestStopTellsOfACrash(t *testing.T) {
	process, err := Start(t.Context(), as(t, "crashes"))
	if err != nil {
		t.Fatal(err)
	}
	<-process.Exited()
	if err := process.Stop(); err == nil || !strings.Contains(err.Error(), "index out of range") || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("%v", err)
	}
}

func TestStartFails(t *testing.T) {
	for role, want := range map[string]string{
		"dies":         "exit status 3",
		"silent":       "not ready after",
		"chatty":       "no announcement",
		"endless line": "no announcement",
		"other":        "announced service",
		"elsewhere":    "announced service",
	} {
		t.Run(role, func(t *testing.T) {
			command := as(t, role)
			command.ReadyTimeout = 20 * time.Second
			if role == "silent" {
				command.ReadyTimeout = 200 * time.Millisecond
			}
			_, err := Start(t.Context(), command)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("error %q, want one with %q", err, want)
			}
			if role == "dies" && !strings.Contains(err.Error(), "no such file") {
				t.Errorf("error %q lacks the standard error", err)
			}
		})
	}
	if _, err := Start(t.Context(), Command{Service: "ryot", Arguments: []string{"/nonexistent/program"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing program: %v", err)
	}
	if _, err := Start(t.Context(), Command{Service: "ryot"}); err == nil {
		t.Error("no command accepted")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	cancel(interrupted)
	if _, err := Start(ctx, as(t, "silent")); !errors.Is(err, interrupted) {
		t.Errorf("a canceled start: %v", err)
	}
}

// A killed parent must not leave the service behind.
func TestServiceDiesWithItsParent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), roleVariable+"=parent")
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parent.Process.Kill(); _ = parent.Wait() }()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	number, _, _ := strings.Cut(line, " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("the parent said %q", line)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the service is not there: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if !alive(pid) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("process %d outlived its parent by ten seconds", pid)
}

// alive tells a running process from a zombie that nobody has reaped.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

// FuzzAnnouncement checks that no ready line, in whatever pieces it is written,
// names a service elsewhere.
func FuzzAnnouncement(f *testing.F) {
	f.Add([]byte(`{"service":"ryot","url":"http://127.0.0.1:80","pid":1,"model":"m"}`+"\n"), 9)
	f.Add([]byte(`{"service":"ryot","url":"http://[::1]:80/","pid":7}`+"\nmore"), 100)
	f.Fuzz(func(t *testing.T, output []byte, size int) {
		p := &Process{command: Command{Service: "ryot"}, ready: firstLine{line: make(chan []byte, 1)}}
		for piece := range slices.Chunk(output, max(1, size%4096)) {
			if count, err := p.ready.Write(piece); count != len(piece) || err != nil {
				t.Fatal(count, err)
			}
		}
		select {
		case line := <-p.ready.line:
			if len(line) > maxReadyLine || p.announced(line) != nil {
				return
			}
		default:
			return
		}
		address, err := url.Parse(p.URL)
		if err != nil || !net.ParseIP(address.Hostname()).IsLoopback() || p.PID <= 0 || p.Service != "ryot" {
			t.Errorf("accepted %+v", p.Endpoint)
		}
	})
}
