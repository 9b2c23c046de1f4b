package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/workloads/serving"
)

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
	if _, err := parser.Parse([]string{"--workers=3", "--ryot=http://a:1", "--plant=passage-scan=fixed"}); err != nil {
		t.Fatal(err)
	}
	if o := command.Options; o.Workers != 3 || o.Ryot != "http://a:1" || o.Plant != "passage-scan=fixed" {
		t.Errorf("flags gave %+v", o)
	}
}

func TestRunSaysWhenItIsReady(t *testing.T) {
	o := DefaultOptions()
	o.Listen, o.Log = "127.0.0.1:0", filepath.Join(t.TempDir(), "log")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := o.Run(ctx, in)
		in.CloseWithError(io.EOF)
		done <- err
	}()
	d := json.NewDecoder(out)
	d.DisallowUnknownFields()
	var ready serving.Ready
	if err := d.Decode(&ready); err != nil {
		t.Fatal(err)
	}
	if ready.Service != "agents" || ready.PID != os.Getpid() || !strings.HasPrefix(ready.URL, "http://127.0.0.1:") {
		t.Errorf("ready %+v", ready)
	}
	response, err := http.Post(ready.URL+"/agent", "application/json", strings.NewReader(ask))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run returned %v", err)
	}
	if log, err := os.ReadFile(o.Log); err != nil || !strings.Contains(string(log), `"path":"/agent"`) {
		t.Errorf("%v: the log is %q", err, log)
	}
}

func TestRunRefusesBadOptions(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Plant = "riot" }, "too-few-workers"},
		{func(o *Options) { o.Ryot = "localhost" }, "connecting ryot"},
		{func(o *Options) { o.Log = filepath.Join("no", "such", "folder") }, "opening the log"},
		{func(o *Options) { o.Listen = "127.0.0.1:notaport" }, "listening for requests"},
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

// Each choice plants its own fault and no other, and a fix is what a service without any
// does.
func TestPlantedOptions(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "passage-scan": "scan", "passage-scan=fixed": "",
		"boxed-matrix": "boxed", "boxed-matrix=fixed": "", "kept-transcripts": "keeps", "kept-transcripts=fixed": "",
		"too-few-workers": "one worker", "too-few-workers=fixed": "",
		"logging-mutex": "trace, crowd", "logging-mutex=fixed": "crowd", "unbuffered-findings": "trace, crowd", "unbuffered-findings=fixed": "trace, crowd",
	} {
		o := DefaultOptions()
		o.Plant, o.Waiting = text, 0
		c, end, err := o.config()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if c.Search.Scan {
			got = append(got, "scan")
		}
		if c.Search.Boxed {
			got = append(got, "boxed")
		}
		if c.transcripts != nil {
			got = append(got, "keeps")
		}
		if c.Workers == 1 {
			got = append(got, "one worker")
		}
		if c.Search.Trace != nil {
			got = append(got, "trace")
		}
		if c.Workers == crowd*runtime.GOMAXPROCS(0) {
			got = append(got, "crowd")
		}
		if strings.Join(got, ", ") != want || c.Waiting != -1 || c.Log == nil {
			t.Errorf("%q planted %v, want %q", text, got, want)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if s.config.Workers != runtime.GOMAXPROCS(0) || cap(s.queue.free) != s.config.Workers || cap(s.queue.places) != s.config.Workers+defaultWaiting {
		t.Errorf("%+v", s.config)
	}
}
