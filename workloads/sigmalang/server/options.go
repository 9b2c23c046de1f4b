package server

import (
	"context"
	"io"
	"net/http"
	"runtime"

	"github.com/narrows-profiler/narrows/internal/version"
	"github.com/narrows-profiler/narrows/workloads/mcp"
	"github.com/narrows-profiler/narrows/workloads/plant"
	"github.com/narrows-profiler/narrows/workloads/serving"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/glyph"
)

// Options are the command line of the service, tagged for
// github.com/alecthomas/kong so that a command can embed them.
type Options struct {
	Listen    string `default:"127.0.0.1:26080" help:"Address to listen on; port 0 takes a free one."`
	Computing int    `default:"0" help:"Cores that compress at once; 0 for all."`
	Waiting   int    `default:"256" help:"Requests that may wait for a core; 0 for none. More are answered 503."`
	Plant     string `placeholder:"FAULT" help:"Start with a known bottleneck, or with FAULT=fixed."`
}

// DefaultOptions are those of a command line without flags.
func DefaultOptions() Options { return Options{Listen: "127.0.0.1:26080", Waiting: defaultWaiting} }

// codec makes the codec that the options ask for.
func (o Options) codec() (*glyph.Codec, error) {
	choice, err := plant.Parse(o.Plant, Faults())
	if err != nil {
		return nil, err
	}
	book, err := glyph.DefaultCodebook()
	if err != nil {
		return nil, err
	}
	cores := o.Computing
	if cores <= 0 {
		cores = runtime.GOMAXPROCS(0)
	}
	return glyph.NewCodec(book, cores, damage(choice)), nil
}

// Run listens, writes a line with a [serving.Ready] to out, and serves HTTP until
// ctx ends.
func (o Options) Run(ctx context.Context, out io.Writer) error {
	return serving.Run(ctx, o.Listen, out, serving.Ready{Service: "sigmalang"}, func() (http.Handler, serving.Config, error) {
		s, err := o.Server()
		if err != nil {
			return nil, serving.Config{}, err
		}
		return s, s.serving(), nil
	})
}

// Server makes the service without a listener.
func (o Options) Server() (*Server, error) {
	codec, err := o.codec()
	if err != nil {
		return nil, err
	}
	return New(Config{Codec: codec, Waiting: o.Waiting}), nil
}

// RunTool serves as a tool over in and out until the input or ctx ends.
func (o Options) RunTool(ctx context.Context, in io.Reader, out io.Writer) error {
	codec, err := o.codec()
	if err != nil {
		return err
	}
	s := &mcp.Server{Name: "sigmalang", Version: version.String(), Tools: tools(codec)}
	return s.Serve(ctx, in, out)
}
