package service

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestConnect(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"/health":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") },
		"/v1/models": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":[{"id":"mo\u001bdel"}]}`) },
	}
	for _, test := range []struct {
		name  string
		paths []string
		model string
		works bool
	}{
		{"both", []string{"/health", "/v1/models"}, "mo del", true},
		{"health only", []string{"/health"}, "", true},
		{"models only", []string{"/v1/models"}, "mo del", true},
		{"neither", nil, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			mux := http.NewServeMux()
			for _, path := range test.paths {
				mux.HandleFunc(path, answers[path])
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: mux}
			over := make(chan struct{})
			go func() { defer close(over); _ = server.Serve(listener) }()
			defer func() { server.Close(); <-over }()
			endpoint, err := Connect(t.Context(), "ryot", "http://user:secret@"+listener.Addr().String()+"/")
			if !test.works {
				if err == nil || !strings.Contains(err.Error(), "--target ryot=URL") || !strings.Contains(err.Error(), "404") || strings.Contains(err.Error(), "secret") {
					t.Errorf("error %q", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if endpoint.Kind != External || endpoint.Model != test.model || strings.Contains(endpoint.Redacted(), "secret") {
				t.Errorf("endpoint %+v", endpoint)
			}
			if endpoint.PID != os.Getpid() {
				t.Errorf("found process %d (%s), want this one, %d", endpoint.PID, endpoint.PIDUnknown, os.Getpid())
			}
		})
	}
}

func TestConnectRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr)
	listener.Close()
	if _, err := Connect(t.Context(), "ryot", "http://"+address.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
	if pid, err := FindListener(address.Port); err == nil {
		t.Errorf("process %d is said to listen on a closed port", pid)
	}
	for _, address := range []string{"", "localhost:80", "ftp://localhost", "http://"} {
		if _, err := Connect(t.Context(), "ryot", address); err == nil || !strings.Contains(err.Error(), "--target ryot=URL") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// A listener that a child process holds is found there, on IPv6 as well.
func TestFindListenerOfAnotherProcess(t *testing.T) {
	process, err := Start(t.Context(), as(t, "well"))
	if err != nil {
		t.Fatal(err)
	}
	defer process.Stop()
	_, port, _ := strings.Cut(strings.TrimPrefix(process.URL, "http://"), ":")
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := FindListener(number); err != nil || pid != process.PID {
		t.Errorf("found %d (%v), want %d", pid, err, process.PID)
	}
	six, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 loopback here")
	}
	defer six.Close()
	if pid, err := FindListener(six.Addr().(*net.TCPAddr).Port); err != nil || pid != os.Getpid() {
		t.Errorf("IPv6: found %d (%v), want %d", pid, err, os.Getpid())
	}
}
