package server

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/narrows-profiler/narrows/workloads/plant"
	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
	"github.com/narrows-profiler/narrows/workloads/serving"
)

// Options are the command line of the service, tagged for
// github.com/alecthomas/kong so that a command can embed them. [DefaultOptions]
// gives the same defaults to other callers.
type Options struct {
	Listen    string `default:"127.0.0.1:46080" help:"Address to listen on; port 0 takes a free one."`
	Name      string `default:"llama" help:"Name of the model in requests and answers."`
	Weights   string `placeholder:"FILE" help:"llama2.c checkpoint of version 0. Without one the weights are pseudo-random and the text is noise, at the same cost."`
	Tokenizer string `placeholder:"FILE" help:"llama2.c tokenizer of the checkpoint."`
	Seed      uint64 `default:"1" help:"Seed of the pseudo-random weights."`
	Dim       int    `default:"256" help:"Width of the pseudo-random model."`
	HiddenDim int    `default:"704" help:"Width of its feed-forward blocks."`
	Layers    int    `default:"4" help:"Number of its layers."`
	Heads     int    `default:"8" help:"Number of its query heads."`
	KVHeads   int    `name:"kv-heads" default:"4" help:"Number of its key and value heads."`
	Vocab     int    `default:"16384" help:"Size of its vocabulary."`
	Context   int    `default:"1024" help:"Number of tokens that fit into one of its texts."`
	Computing int    `default:"0" help:"Requests computed at once, each on one core; 0 for as many as cores."`
	Plant     string `placeholder:"FAULT" help:"Start with a known bottleneck, FAULT, or with its fix, FAULT=fixed; docs/planted.md lists them."`
	Waiting   int    `default:"256" help:"Requests that may wait for their turn; 0 for none. More are answered 503."`
}

// DefaultOptions are those of a command line without flags.
func DefaultOptions() Options {
	c := llama.DefaultConfig()
	return Options{
		Listen: "127.0.0.1:46080", Name: defaultName, Seed: 1,
		Dim: c.Dim, HiddenDim: c.HiddenDim, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads,
		Vocab: c.Vocab, Context: c.Context, Waiting: defaultWaiting,
	}
}

// Run listens, loads the model, writes a line with a [serving.Ready] to out, and
// serves until ctx ends.
func (o Options) Run(ctx context.Context, out io.Writer) error {
	ready := serving.Ready{Service: "ryot", Model: cmp.Or(o.Name, defaultName)}
	return serving.Run(ctx, o.Listen, out, ready, func() (http.Handler, serving.Config, error) {
		c, err := o.Config()
		if err != nil {
			return nil, serving.Config{}, err
		}
		s, err := New(c)
		if err != nil {
			return nil, serving.Config{}, err
		}
		return s, s.serving(), nil
	})
}

// Config loads the files or makes the seeded weights.
func (o Options) Config() (Config, error) {
	choice, err := plant.Parse(o.Plant, Faults())
	if err != nil {
		return Config{}, err
	}
	c := Config{Name: o.Name, Computing: o.Computing, Waiting: o.Waiting}
	if o.Waiting <= 0 {
		c.Waiting = -1
	}
	load := o.seeded
	if o.Weights != "" || o.Tokenizer != "" {
		load = o.files
	}
	model, tokenizer, err := load()
	if err != nil {
		return Config{}, err
	}
	c.Model, c.Tokenizer = planted(model, choice), tokenizer
	return c, nil
}

// seeded makes a model of the chosen shape.
func (o Options) seeded() (*llama.Model, *llama.Tokenizer, error) {
	shape := llama.Config{
		Dim: o.Dim, HiddenDim: o.HiddenDim, Layers: o.Layers, Heads: o.Heads, KVHeads: o.KVHeads,
		Vocab: o.Vocab, Context: o.Context,
	}
	weights, err := llama.SeededWeights(shape, o.Seed)
	if err != nil {
		return nil, nil, err
	}
	model, err := llama.NewModel(shape, weights)
	if err != nil {
		return nil, nil, err
	}
	tokenizer, err := llama.BuiltinTokenizer(shape.Vocab)
	return model, tokenizer, err
}

// files reads a checkpoint and its tokenizer.
func (o Options) files() (*llama.Model, *llama.Tokenizer, error) {
	if o.Weights == "" || o.Tokenizer == "" {
		return nil, nil, fmt.Errorf("weights %q, tokenizer %q: a checkpoint needs both files", o.Weights, o.Tokenizer)
	}
	f, err := os.Open(o.Weights)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the weights: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("looking at the weights: %w", err)
	}
	shape, weights, err := llama.ReadCheckpoint(f, info.Size())
	if err != nil {
		return nil, nil, fmt.Errorf("loading %s: %w", o.Weights, err)
	}
	model, err := llama.NewModel(shape, weights)
	if err != nil {
		return nil, nil, fmt.Errorf("loading %s: %w", o.Weights, err)
	}
	g, err := os.Open(o.Tokenizer)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the tokenizer: %w", err)
	}
	defer g.Close()
	tokenizer, err := llama.ReadTokenizer(g, shape.Vocab)
	if err != nil {
		return nil, nil, fmt.Errorf("loading %s: %w", o.Tokenizer, err)
	}
	return model, tokenizer, nil
}
