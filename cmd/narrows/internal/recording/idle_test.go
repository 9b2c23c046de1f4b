package recording

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/analysis/waits"
	"github.com/narrows-profiler/narrows/collector"
)

// idleServer is a Go server that nobody asks for anything, until its input ends.
func idleServer() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go http.Serve(listener, nil)
	go func() { // threads to park
		for range 4 {
			go time.Sleep(10 * time.Millisecond)
		}
	}()
	time.Sleep(200 * time.Millisecond)
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
}

// recordRunning records a program that runs already for two seconds into a session.
func recordRunning(t *testing.T, cmd *exec.Cmd) (*session.Session, *waits.Document) {
	t.Helper()
	requireRoot(t)
	g := startTarget(t, cmd)
	for deadline := time.Now().Add(20 * time.Second); processState(cmd.Process.Pid) != "S"; {
		if time.Now().After(deadline) {
			t.Fatal("the program does not get to wait")
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(time.Second)
	dir := filepath.Join(t.TempDir(), "s")
	host, err := session.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	config := collector.Config{Frequency: 99, Window: time.Second, Waits: true, Selection: collector.Selection{PIDs: []int{cmd.Process.Pid}}}
	writer, err := session.Create(dir, Info(host, nil, config))
	if err != nil {
		t.Fatal(err)
	}
	sink := NewSessionSink(writer)
	rec, err := Start(t.Context(), config, sink)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Finish(t.Context(), session.Outcome{Status: session.Complete}, summary); err != nil {
		t.Fatal(err)
	}
	g.input.Close()
	g.Wait()
	s, err := session.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.ReadFile(waits.FileName)
	if err != nil {
		t.Fatal(err)
	}
	d, err := waits.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return s, d
}

// processState is the state of a process by /proc: "S" while it sleeps.
func processState(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}

// stateTimes is the time of waits by function and state, of those that the function is on.
func stateTimes(p *profile.Profile, functions []string) map[string]float64 {
	times := map[string]float64{}
	for _, s := range p.Sample {
		name := findFunction(s, functions)
		for _, state := range s.Label["state"] {
			if state != "runnable" {
				times[name+" "+state] += float64(s.Value[1])
			}
		}
	}
	return times
}

// A pool of C threads: those with nothing to do are idle, those that wait for others not.
func TestIdlePoolIsSetApart(t *testing.T) {
	program := compile(t, filepath.Join(t.TempDir(), "pool"), "testdata/pool.c", "-pthread", "-fno-optimize-sibling-calls")
	s, d := recordRunning(t, exec.Command(program))
	p, err := s.Profile(session.OffCPU)
	if err != nil {
		t.Fatal(err)
	}
	idle := map[string]bool{"next_task": true, "acceptor": true, "reactor": true, "queue_push": false, "fetch": false}
	var names []string
	for name := range idle {
		names = append(names, name)
	}
	times := stateTimes(p, names)
	for name, want := range idle {
		var marked, all float64
		for key, ns := range times {
			if strings.HasPrefix(key, name+" ") {
				all += ns
				if key == name+" idle" {
					marked += ns
				}
			}
		}
		if all < 1.5e9 || (marked == all) != want || (marked == 0) == want {
			t.Errorf("%s waited %.1f s, %.1f s of them idle, want idle %v", name, all/1e9, marked/1e9, want)
		}
	}
	for _, state := range d.States {
		if state.State == waits.IdleState && (state.NS < 7e9 || state.NS > 13e9) {
			t.Errorf("%.1f s are idle, want four threads' two seconds", float64(state.NS)/1e9)
		}
	}
}

// A Go server without requests: all its threads are parked, which is idle; nothing that
// waits is left but the one that reads the input.
func TestIdleGoServerIsSetApart(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "NARROWS_TEST_TARGET=server")
	_, d := recordRunning(t, cmd)
	var idle, rest int64
	for _, state := range d.States {
		switch state.State {
		case waits.IdleState:
			idle += state.NS
		case "runnable":
		default:
			t.Logf("%s: %v", state.State, state.Places)
			rest += state.NS
		}
	}
	// The input is a pipe, in which one thread waits for two seconds.
	if idle < 4e9 || rest > 3e9 {
		t.Errorf("%.1f s are idle, %.1f s are not", float64(idle)/1e9, float64(rest)/1e9)
	}
}
