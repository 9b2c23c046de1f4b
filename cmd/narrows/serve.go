package main

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	agents "github.com/narrows-profiler/narrows/workloads/agents/server"
	"github.com/narrows-profiler/narrows/workloads/ryot/server"
)

type serveCommand struct {
	Ryot   serveRyotCommand   `cmd:"" help:"LLM inference: a Llama-architecture model behind OpenAI's streaming HTTP interface."`
	Agents serveAgentsCommand `cmd:"" help:"Agent collective: a router with a bounded queue and workers that answer tasks over HTTP."`
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
	return adviseOnAddress(c.Options.Run(ctx, s.out))
}

type serveAgentsCommand struct {
	agents.Options
}

func (serveAgentsCommand) Help() string {
	return `Prints one JSON line with its URL and PID when it is ready, and serves until Ctrl-C.

Examples:
  narrows serve agents
  narrows serve agents --ryot http://127.0.0.1:46080 --log tasks.log
  narrows serve agents --plant too-few-workers
  curl localhost:8080/agents/APEX/invoke -d '{"messages":[{"role":"user","content":"Our queue grows under load."}]}'
  curl -N localhost:8080/copilot -d '{"messages":[{"role":"user","content":"@LENS @WEAVER who waits for the lock?"}],"stream":true}'`
}

func (c *serveAgentsCommand) Run(ctx context.Context, s streams) error {
	return adviseOnAddress(c.Options.Run(ctx, s.out))
}

// adviseOnAddress says what to do where a service's address is taken.
func adviseOnAddress(err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		return advisedError{err, "end what listens there, or choose another address with --listen; port 0 takes a free one"}
	}
	return err
}
