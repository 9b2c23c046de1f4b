package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/serving"
	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// upload begins a PUT whose body never ends by itself; finish ends it.
func (s *service) upload(path string) (finish func() (int, []byte)) {
	s.t.Helper()
	body, in := io.Pipe()
	type reply struct {
		status int
		data   []byte
	}
	over := make(chan reply, 1)
	go func() {
		answer, data := s.ask(http.MethodPut, path, body)
		over <- reply{answer.StatusCode, data}
	}()
	if _, err := in.Write([]byte("content")); err != nil {
		s.t.Error(err)
	}
	return func() (int, []byte) {
		in.Close()
		r := <-over
		return r.status, r.data
	}
}

// waitLoad waits until /health says how many requests work and wait.
func (s *service) waitLoad(working, waiting int) {
	s.t.Helper()
	for {
		var h struct{ Working, Waiting int }
		if err := json.Unmarshal(s.ok(http.MethodGet, "/health", nil), &h); err != nil {
			s.t.Fatal(err)
		}
		if h.Working == working && h.Waiting == waiting {
			return
		}
		// The test's own deadline bounds this.
		time.Sleep(time.Millisecond)
	}
}

func TestFullGateRefuses(t *testing.T) {
	s := start(t, Config{Working: 1, Waiting: 1})
	finish := s.upload("/rsus/first")
	s.waitLoad(1, 0)
	waited := make(chan int, 1)
	go func() {
		answer, _ := s.ask(http.MethodGet, "/rsus/first", nil)
		waited <- answer.StatusCode
	}()
	s.waitLoad(1, 1)
	answer, data := s.ask(http.MethodPut, "/rsus/second", nil)
	if answer.StatusCode != http.StatusServiceUnavailable || strict[clientError](t, data).Error.Code != "overloaded" || answer.Header.Get("Retry-After") == "" {
		t.Errorf("status %d: %s", answer.StatusCode, data)
	}
	if status, data := finish(); status != http.StatusOK {
		t.Errorf("the first: %d, %s", status, data)
	}
	if status := <-waited; status != http.StatusOK {
		t.Errorf("the one that waited: %d", status)
	}
	s.waitLoad(0, 0)
}

func TestShutdown(t *testing.T) {
	t.Run("lets requests finish", func(t *testing.T) {
		s := start(t, Config{Grace: time.Hour})
		finish := s.upload("/rsus/x")
		s.waitLoad(1, 0)
		s.stop()
		if status, data := finish(); status != http.StatusOK {
			t.Errorf("status %d, %s", status, data)
		}
	})
	t.Run("ends those that wait", func(t *testing.T) {
		s := start(t, Config{Working: 1, Grace: -1})
		finish := s.upload("/rsus/x")
		s.waitLoad(1, 0)
		waited := make(chan []byte, 1)
		go func() {
			_, data := s.ask(http.MethodGet, "/rsus/x", nil)
			waited <- data
		}()
		s.waitLoad(1, 1)
		s.stop()
		if code := strict[clientError](t, <-waited).Error.Code; code != "shutting_down" {
			t.Errorf("code %s", code)
		}
		finish()
	})
}

// What a client breaks off or a damaged or full disk keeps from being whole is told,
// and not stored.
func TestHalfABodyIsNotStored(t *testing.T) {
	s := start(t, Config{})
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(connection, "PUT /rsus/half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	s.waitLoad(1, 0)
	connection.Close()
	s.waitLoad(0, 0)
	if answer, _ := s.ask(http.MethodGet, "/rsus/half", nil); answer.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", answer.StatusCode)
	}
}

func TestFailuresAreTold(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{vault.ErrDamaged, 500, "damaged"},
		{&os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC}, 507, "disk_full"},
		{vault.ErrClosed, 500, "internal"},
		{serving.ErrStopping, 503, "shutting_down"},
	} {
		if f := failureOf(errors.Join(errors.New("doing it"), c.err)); f.status != c.status || f.code != c.code {
			t.Errorf("%v: %+v", c.err, f)
		}
	}
}

func TestOptionTagsGiveTheDefaults(t *testing.T) {
	var command struct {
		Options `embed:""`
	}
	parser, err := kong.New(&command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultOptions(), command.Options); diff != "" {
		t.Errorf("DefaultOptions (-) and the tags (+) differ:\n%s", diff)
	}
}

// running is a service that was started as a command is.
func running(t *testing.T, o Options) (url string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := o.Run(ctx, in)
		in.CloseWithError(io.EOF)
		done <- err
	}()
	var ready serving.Ready
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatalf("%v, %v", err, <-done)
	}
	if ready.Service != "sigmavault" || ready.PID != os.Getpid() {
		t.Errorf("%+v", ready)
	}
	return ready.URL, func() {
		t.Helper()
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A given folder keeps its units from one run to the next, with each fault and its fix;
// a temporary one is gone as soon as it serves.
func TestRun(t *testing.T) {
	put := func(url, id string) {
		t.Helper()
		request, err := http.NewRequest(http.MethodPut, url+"/rsus/"+id, bytes.NewReader(content(1, 100_000)))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("status %d", answer.StatusCode)
		}
	}
	check := func(url, id string) {
		t.Helper()
		answer, err := http.Get(url + "/rsus/" + id)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		data, err := io.ReadAll(answer.Body)
		if err != nil || !bytes.Equal(data, content(1, 100_000)) {
			t.Errorf("%s: status %d, %d bytes, %v", id, answer.StatusCode, len(data), err)
		}
	}
	o := DefaultOptions()
	o.Listen, o.Data = "127.0.0.1:0", filepath.Join(t.TempDir(), "kept")
	for _, f := range append(Faults(), Faults()[0]) {
		for _, fault := range []string{f.Name, f.Name + "=fixed"} {
			o.Plant = fault
			url, stop := running(t, o)
			put(url, strings.ReplaceAll(fault, "=", "-"))
			stop()
		}
	}
	o.Plant = ""
	url, stop := running(t, o)
	for _, f := range Faults() {
		check(url, f.Name)
		check(url, f.Name+"-fixed")
	}
	stop()

	o.Data = ""
	for _, fault := range []string{"", vault.RewrittenIndex} {
		o.Plant = fault
		url, stop = running(t, o)
		put(url, "x")
		check(url, "x")
		files := temporaryFiles(t)
		if len(files) == 0 {
			t.Error("no temporary file is open, so the test shows nothing")
		}
		for _, name := range files {
			if !strings.HasSuffix(name, " (deleted)") {
				t.Errorf("%s would be left by a killed service", name)
			}
		}
		stop()
	}
}

// The vault is also a directory of files while the service runs, and only then.
func TestRunWithDirectory(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Getuid() != 0 {
		t.Skip("mounting needs root and /dev/fuse")
	}
	o := DefaultOptions()
	o.Listen, o.Directory = "127.0.0.1:0", filepath.Join(t.TempDir(), "files")
	url, stop := running(t, o)
	path := filepath.Join(o.Directory, "unit")
	if err := os.WriteFile(path, content(1, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get(url + "/rsus/unit")
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !bytes.Equal(data, content(1, 100_000)) {
		t.Errorf("status %d, %d bytes, %v", answer.StatusCode, len(data), err)
	}
	stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

// temporaryFiles are the open files of this process in folders for a temporary vault.
func temporaryFiles(t *testing.T) (names []string) {
	t.Helper()
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		// One that was closed meanwhile has no name.
		if name, err := os.Readlink(fd); err == nil && strings.Contains(name, "narrows-sigmavault-") {
			names = append(names, name)
		}
	}
	return names
}

func TestRunRefuses(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Plant = "nothing" }, "no fault"},
		{func(o *Options) { o.CacheMB = 0 }, "a cache of 0 MB"},
		{func(o *Options) { o.Listen = "127.0.0.1:notaport" }, "listening for requests"},
		{func(o *Options) { o.Data = "/dev/null/x" }, "not a directory"},
		{func(o *Options) { o.Data, o.Key = folder, folder }, "chmod 600"},
		{func(o *Options) { o.Directory = "/dev/null" }, "preparing the directory /dev/null"},
	} {
		o := DefaultOptions()
		o.Listen = "127.0.0.1:0"
		c.change(&o)
		var out bytes.Buffer
		if err := o.Run(t.Context(), &out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want one about %q", err, c.want)
		}
		if out.Len() > 0 {
			t.Errorf("a service that failed said %q", &out)
		}
	}
}
