package main

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	ryot "github.com/narrows-profiler/narrows/workloads/ryot/server"
	sigmalang "github.com/narrows-profiler/narrows/workloads/sigmalang/server"
)

type serveCommand struct {
	Ryot      serveRyotCommand      `cmd:"" help:"LLM inference: a Llama-architecture model behind OpenAI's streaming HTTP interface."`
	Sigmalang serveSigmalangCommand `cmd:"" help:"Text compression: a codebook of glyphs in front of Zstandard, over HTTP or as a tool."`
}

type serveRyotCommand struct {
	ryot.Options
}

func (serveRyotCommand) Help() string {
	return `Prints one JSON line with its URL and PID when it is ready, and serves until Ctrl-C.

Examples:
  narrows serve ryot
  narrows serve ryot --weights stories15M.bin --tokenizer tokenizer.bin
  curl -N localhost:46080/v1/completions -d '{"model":"llama","prompt":"Once","max_tokens":20,"stream":true}'`
}

func (c *serveRyotCommand) Run(ctx context.Context, s streams) error {
	return advised(c.Options.Run(ctx, s.out))
}

// advised says what to do about an address that is taken.
func advised(err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		return advisedError{err, "end what listens there, or choose another address with --listen; port 0 takes a free one"}
	}
	return err
}

type serveSigmalangCommand struct {
	sigmalang.Options
	Stdio bool `help:"Serve as a tool over standard input and output (JSON-RPC 2.0, MCP 2024-11-05) instead of HTTP."`
}

func (serveSigmalangCommand) Help() string {
	return `Prints one JSON line with its URL and PID when it is ready, and serves until Ctrl-C; with --stdio, until its input ends.

Examples:
  narrows serve sigmalang
  curl localhost:26080/api/v1/encode -d '{"text":"the end of the file"}'
  narrows bench --component sigmalang --target sigmalang='stdio:narrows serve sigmalang --stdio'
  narrows serve sigmalang --plant linear-codebook`
}

func (c *serveSigmalangCommand) Run(ctx context.Context, s streams) error {
	if c.Stdio {
		return c.RunTool(ctx, os.Stdin, s.out)
	}
	return advised(c.Options.Run(ctx, s.out))
}
