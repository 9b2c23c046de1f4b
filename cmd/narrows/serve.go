package main

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/ryot/server"
)

type serveCommand struct {
	Ryot serveRyotCommand `cmd:"" help:"LLM inference: a Llama-architecture model behind OpenAI's streaming HTTP interface."`
}

type serveRyotCommand struct {
	server.Options
}

func (serveRyotCommand) Help() string {
	return `Prints one JSON line with its URL and PID when it is ready, and serves until Ctrl-C.

Examples:
  narrows serve ryot
  narrows serve ryot --weights stories15M.bin --tokenizer tokenizer.bin
  curl -N localhost:46080/v1/completions -d '{"model":"llama","prompt":"Once","max_tokens":20,"stream":true}'`
}

func (c *serveRyotCommand) Run(ctx context.Context, s streams) error {
	err := c.Options.Run(ctx, s.out)
	if errors.Is(err, unix.EADDRINUSE) {
		return advisedError{err, "end what listens there, or choose another address with --listen; port 0 takes a free one"}
	}
	return err
}
