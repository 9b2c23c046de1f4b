package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/workloads/ryot/llama"

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
	if _, err := parser.Parse([]string{"--kv-heads=2", "--hidden-dim=9", "--listen=:0"}); err != nil {
		t.Fatal(err)
	}
	if o := command.Options; o.KVHeads != 2 || o.HiddenDim != 9 || o.Listen != ":0" {
		t.Errorf("flags gave %+v", o)
	}
	d := DefaultOptions()
	shape := llama.Config{Dim: d.Dim, HiddenDim: d.HiddenDim, Layers: d.Layers, Heads: d.Heads, KVHeads: d.KVHeads, Vocab: d.Vocab, Context: d.Context}
	if shape != llama.DefaultConfig() {
		t.Errorf("the default shape is %+v, the engine's %+v", shape, llama.DefaultConfig())
	}
}

func TestRunSaysWhenItIsReady(t *testing.T) {
	o := DefaultOptions()
	o.Listen, o.Name = "127.0.0.1:0", "tiny"
	o.Dim, o.HiddenDim, o.Layers, o.Heads, o.KVHeads, o.Vocab, o.Context = 16, 16, 1, 2, 1, 300, 64
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
	if ready.Service != "ryot" || ready.PID != os.Getpid() || ready.Model != "tiny" || !strings.HasPrefix(ready.URL, "http://127.0.0.1:") {
		t.Errorf("ready %+v", ready)
	}
	answer, err := http.Get(ready.URL + "/health")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("status %d", answer.StatusCode)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestRunRefusesBadFiles(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short.bin")
	if err := os.WriteFile(short, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Weights = short }, "needs both files"},
		{func(o *Options) { o.Tokenizer = short }, "needs both files"},
		{func(o *Options) { o.Weights, o.Tokenizer = filepath.Join(dir, "none"), short }, "no such file"},
		{func(o *Options) { o.Weights, o.Tokenizer = short, short }, "short.bin: checking the checkpoint's header"},
		{func(o *Options) { o.Heads = 5 }, "not divisible"},
		{func(o *Options) { o.Vocab = 100 }, "must be 256"},
		{func(o *Options) { o.Listen = "127.0.0.1:notaport" }, "listening for requests"},
	} {
		o := DefaultOptions()
		o.Listen, o.Dim, o.Heads, o.KVHeads, o.Vocab = "127.0.0.1:0", 16, 2, 1, 300
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
