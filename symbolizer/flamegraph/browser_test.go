package flamegraph

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

//go:embed testdata/drive.html
var driver []byte

// browse opens an address in a browser without a window. The browser ends by
// itself only with --dump-dom, otherwise when the test or ctx does.
func browse(ctx context.Context, t *testing.T, address string, more ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a browser, which takes seconds")
	}
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no chromium is installed: zoom and search are not exercised")
	}
	cmd := exec.CommandContext(ctx, browser, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir=" + t.TempDir(), "--window-size=1200,800"},
		append(more, address)...)...)
	// Its helper processes are its group, and go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// dumpDOM returns the document as it is when its scripts have run.
func dumpDOM(t *testing.T, address string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := browse(ctx, t, address, "--dump-dom")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running the browser: %v\n%s", err, complaints.String())
	}
	return string(out)
}

// shown is what the driving page wrote down after one step.
type shown struct {
	Hash, Found, Crumbs, Tip, Focus string
	Prevented                       bool
	Frames                          map[string]string // label: x, width, whether it matches
	Labels                          []string
}

// small is 100 samples whose shares can be read off.
func small(t *testing.T) *Graph {
	return mustNew(t, folded("main;work;read 30", "main;work;read;pread 5", "main;work;copy;read 10", "main;idle 35", "gc;mark 20"), Options{Title: "Small"})
}

func TestInBrowser(t *testing.T) {
	svg := render(t, small(t))
	var mu sync.Mutex
	asked := map[string]bool{}
	outcome := make(chan []byte, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path] = true
		mu.Unlock()
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write(driver)
		case "/graph.svg":
			w.Header().Set("Content-Type", "image/svg+xml")
			w.Write(svg)
		case "/outcome":
			if body, err := io.ReadAll(r.Body); err == nil {
				outcome <- body
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := browse(ctx, t, server.URL)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var raw []byte
	select {
	case raw = <-outcome:
	case <-ctx.Done():
		t.Error("the driving page did not answer within a minute")
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("the browser ended before it was told to")
	}
	var got map[string]shown
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("reading what the driving page saw: %v", err)
	}
	if e, ok := got["error"]; ok {
		t.Fatalf("driving: %s", e.Found)
	}
	checkSteps(t, got)
	mu.Lock()
	defer mu.Unlock()
	delete(asked, "/favicon.ico") // the browser's own, for the page around the graph
	if d := cmp.Diff(map[string]bool{"/": true, "/graph.svg": true, "/outcome": true}, asked); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

const hint = "Click a frame to zoom in, Escape to go back; arrow keys walk the stacks"

func checkSteps(t *testing.T, got map[string]shown) {
	whole := map[string]string{
		"all, 100.0 %": "0.0000% 100.0000%", "gc, 20.0 %": "0.0000% 20.0000%", "mark, 20.0 %": "0.0000% 20.0000%",
		"main, 80.0 %": "20.0000% 80.0000%", "idle, 35.0 %": "20.0000% 35.0000%", "work, 45.0 %": "55.0000% 45.0000%",
		"copy, 10.0 %": "55.0000% 10.0000%", "read, 10.0 %": "55.0000% 10.0000%", "read, 35.0 %": "65.0000% 35.0000%", "pread, 5.00 %": "65.0000% 5.0000%",
	}
	work := map[string]string{
		"all, 100.0 %": "0.0000% 100.0000%", "main, 80.0 %": "0.0000% 100.0000%", "work, 45.0 %": "0.0000% 100.0000%",
		"copy, 10.0 %": "0.0000% 22.2222%", "read, 10.0 %": "0.0000% 22.2222%", "read, 35.0 %": "22.2222% 77.7778%", "pread, 5.00 %": "22.2222% 11.1111%",
	}
	workFound := map[string]string{}
	for k, v := range work {
		if strings.HasPrefix(k, "copy") || strings.HasPrefix(k, "pread") {
			v += " match"
		}
		workFound[k] = v
	}
	gcFound := map[string]string{"all, 100.0 %": "0.0000% 100.0000%", "gc, 20.0 %": "0.0000% 100.0000%", "mark, 20.0 %": "0.0000% 100.0000% match"}
	idle := map[string]string{"all, 100.0 %": "0.0000% 100.0000%", "main, 80.0 %": "0.0000% 100.0000%", "idle, 35.0 %": "0.0000% 100.0000%"}
	reset := "Reset zoom"
	for step, want := range map[string]shown{
		"opened": {Frames: whole, Crumbs: hint, Labels: []string{"all", "gc", "mark", "main", "idle", "work", "copy", "read", "read", "pread"}},
		"zoomed": {Frames: work, Crumbs: reset + "all›main›work", Hash: "#zoom=5", Labels: []string{"all", "main", "work", "copy", "read", "read", "pread"}},
		// copy (10) and, in the other read, pread (5): 15 of 100 and of 45.
		"searched": {Frames: workFound, Crumbs: reset + "all›main›work", Hash: "#zoom=5&search=pread%7Ccopy", Found: "Matched 15.0 % of all · 33.3 % of the zoomed frame"},
		"hovered": {Frames: workFound, Crumbs: reset + "all›main›work", Hash: "#zoom=5&search=pread%7Ccopy", Found: "Matched 15.0 % of all · 33.3 % of the zoomed frame",
			Tip: "read\nnative (C, C++, Rust) · /bin/app\ntotal 100 ms 10.0 % of all 22.2 % of zoomed\nself 100 ms 10.0 % of all 22.2 % of zoomed\nsamples 10"},
		"mistyped": {Frames: work, Crumbs: reset + "all›main›work", Hash: "#zoom=5&search=%28", Found: "not a regular expression"},
		"escaped":  {Frames: whole, Crumbs: hint, Hash: "#search=%28", Found: "not a regular expression"},
		"cleared":  {Frames: whole, Crumbs: hint, Prevented: true, Focus: "input"},
		"linked":   {Frames: gcFound, Crumbs: reset + "all›gc", Hash: "#zoom=1&search=MARK", Found: "Matched 20.0 % of all · 100.0 % of the zoomed frame"},
		"back":     {Frames: whole, Crumbs: hint, Focus: "idle, 35.0 %"},
		"entered":  {Frames: idle, Crumbs: reset + "all›main›idle", Hash: "#zoom=4", Focus: "idle, 35.0 %"},
		"reset":    {Frames: whole, Crumbs: hint},
	} {
		have := got[step]
		if want.Labels == nil {
			have.Labels = nil
		}
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("%s (-want +got):\n%s", step, d)
		}
	}
	// As a picture: 116 - 18 pixels of head without a subtitle, five rows, the foot.
	colour := func(name string) string {
		c := class(kindNative, name)
		return fill(kindNative, int(c[1]-'0'), false)
	}
	want := map[string]string{"gc": colour("gc"), "mark": colour("mark"), "main": colour("main"), "beside mark": "#ffffff"}
	if d := cmp.Diff(want, got["picture"].Frames); d != "" {
		t.Errorf("colours without script (-want +got):\n%s", d)
	}
	if want := fmt.Sprintf("1200x%d", 98+5*rowHeight+14); got["picture"].Found != want {
		t.Errorf("size as a picture %s, want %s", got["picture"].Found, want)
	}
}

// TestFromFile opens the file itself, as a reader who was sent it does, with a
// link's zoom and search.
func TestFromFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "graph.svg")
	if err := os.WriteFile(file, render(t, small(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	dom := dumpDOM(t, "file://"+file+"#zoom=5&search=read")
	// The outermost matches are copy's read (10) and read (35), pread lies within.
	if want := "Matched 45.0 % of all · 100.0 % of the zoomed frame"; !strings.Contains(dom, want) {
		t.Errorf("the page does not say %q:\n%s", want, dom)
	}
	if got := strings.Count(dom, `style="display: none;"`); got < 3 {
		t.Errorf("%d elements are hidden, want gc, mark and idle at least", got)
	}
}

// TestUndrawnFramesMayMatch checks that a search admits what it cannot see.
func TestUndrawnFramesMayMatch(t *testing.T) {
	lines := []string{"main;seen 500"}
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("main;hidden%d 1", i))
	}
	file := filepath.Join(t.TempDir(), "graph.svg")
	g := mustNew(t, folded(append(lines, "main 400")...), Options{MinWidth: 0.05})
	if err := os.WriteFile(file, render(t, g), 0o600); err != nil {
		t.Fatal(err)
	}
	for search, want := range map[string]string{
		"seen":      "Matched 50.0 % of all",
		"hidden7$":  "Matched 0.00 % to 0.10 % of all",
		"hidden":    "Matched 0.00 % to 10.0 % of all",
		"seen|den7": "Matched 50.0 % to 51.1 % of all", // hidden7 and hidden70 to hidden79
	} {
		if dom := dumpDOM(t, "file://"+file+"#search="+search); !strings.Contains(dom, ">"+want+"<") {
			t.Errorf("searching for %s, the page does not say %q:\n%s", search, want, dom)
		}
	}
}
