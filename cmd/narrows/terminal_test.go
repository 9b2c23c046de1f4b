package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal opens a pseudo-terminal (pts(4)): what is written to the second end
// is read from the first.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminal here: ", err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("the pseudo-terminal's other end is not here: ", err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return screen, terminal
}

// watch runs a command line on a terminal and returns what it wrote there, escapes
// included. Of its time, interrupt is when Ctrl-C comes, 0 for never.
func watch(t *testing.T, interrupt time.Duration, args ...string) string {
	t.Helper()
	screen, terminal := openTerminal(t)
	cmd := narrows(t, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close() // or the screen would never end
	shown := make(chan string)
	go func() {
		content, _ := io.ReadAll(screen) // its end is an error, EIO
		shown <- string(content)
	}()
	if interrupt > 0 {
		time.Sleep(interrupt)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}
	cmd.Wait()
	return <-shown
}

// On a terminal there is a bar with the time left, which ends as done or is gone.
func TestProgressOnTerminal(t *testing.T) {
	requireRecording(t)
	whole := watch(t, 0, "record", "-d", "3s", "-o", "s")
	if !regexp.MustCompile(`00:0[123] left`).MatchString(whole) {
		t.Errorf("the terminal never showed how much time is left:\n%q", whole)
	}
	for _, part := range []string{"recording the whole machine", " %", "100 %  done", "written to  s"} {
		if !strings.Contains(whole, part) {
			t.Errorf("the terminal never showed %q:\n%q", part, whole)
		}
	}
	if strings.LastIndex(whole, " left") > strings.Index(whole, "100 %  done") {
		t.Errorf("time is left after the end:\n%q", whole)
	}
	broken := watch(t, time.Second, "record", "-d", "1h", "-o", "s")
	if !strings.Contains(broken, "left") || strings.Contains(broken, "done") || !strings.Contains(broken, "ended early by Ctrl-C") {
		t.Errorf("after Ctrl-C the terminal showed\n%q", broken)
	}
	// The last thing done to the bar is to erase its line.
	bar := broken[:strings.Index(broken, "samples  ")]
	if last := bar[strings.LastIndex(bar, "\x1b["):]; strings.Contains(last, "recording") {
		t.Errorf("the broken-off bar stays on the screen: %q", last)
	}
}

// The terminal is the command's while it runs: no bar writes over its output.
func TestCommandHasTheTerminal(t *testing.T) {
	requireRecording(t)
	shown := watch(t, 0, "record", "-o", "s", "--", "sh", "-c", "printf begin; sleep 0.5; echo -end")
	if !strings.Contains(shown, "begin-end") || strings.Contains(shown, "\x1b") {
		t.Errorf("the terminal showed\n%q", shown)
	}
}

// Benchmarks bounded by time show the time left as well, and one line in a pipe.
func TestProgressOfTimedBenchmark(t *testing.T) {
	args := []string{"bench", "--benchmark", "FirstTokenLatency", "--duration", "1s", "--concurrent_requests", "1", "-o", "s"}
	cmd := narrows(t, args...)
	r := succeed(t, cmd)
	checkPlainLines(t, r.stderr, "FirstTokenLatencyBenchmark for 1s")
	checkSession(t, filepath.Join(cmd.Dir, "s"))
	if shown := watch(t, 0, args...); !strings.Contains(shown, " left") {
		t.Errorf("the terminal showed\n%q", shown)
	}
}
