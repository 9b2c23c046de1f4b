package main

import (
	"context"
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	agents "github.com/narrows-profiler/narrows/workloads/agents/server"
	ryot "github.com/narrows-profiler/narrows/workloads/ryot/server"
	sigmalang "github.com/narrows-profiler/narrows/workloads/sigmalang/server"
	sigmavault "github.com/narrows-profiler/narrows/workloads/sigmavault/server"
)

type serveCommand struct {
	Ryot       serveRyotCommand       `cmd:"" help:"LLM inference: a Llama-architecture model behind OpenAI's streaming HTTP interface."`
	Sigmalang  serveSigmalangCommand  `cmd:"" help:"Text compression: a codebook of glyphs in front of Zstandard, over HTTP or as a tool."`
	Sigmavault serveSigmavaultCommand `cmd:"" help:"Encrypted storage of reusable semantic units: a durable store behind a small HTTP interface, or seen as a directory of files."`
	Agents     serveAgentsCommand     `cmd:"" help:"Agent collective: a router with a bounded queue and workers that answer tasks over HTTP."`
}

// AfterApply runs before any service does. Go keeps the heap profile that record --alloc reads
// only in programs that can ask for it, as most servers can.
func (serveCommand) AfterApply() error {
	runtime.MemProfile(nil, false)
	return nil
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

type serveSigmavaultCommand struct {
	sigmavault.Options
}

func (serveSigmavaultCommand) Help() string {
	return `Prints one JSON line with its URL and PID when it is ready, and serves until Ctrl-C. What it has acknowledged outlives
it and the machine, unless it keeps its data in a temporary folder, as it does without --data.

Examples:
  narrows serve sigmavault
  narrows serve sigmavault --data vault --cache-mb 256
  sudo narrows serve sigmavault --directory /mnt/vault    its units are files there too
  head -c 100000 /dev/urandom | curl -T - 'localhost:36080/rsus/ctx-1?semantic_hash=9f86d081&original_token_count=512'
  curl -o content -D - localhost:36080/rsus/ctx-1
  curl localhost:36080/stats`
}

func (c *serveSigmavaultCommand) Run(ctx context.Context, s streams) error {
	return advised(c.Options.Run(ctx, s.out))
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
	return advised(c.Options.Run(ctx, s.out))
}

// advised says what to do about an error of a service, where that is known.
func advised(err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		return advisedError{err, "end what listens there, or choose another address with --listen; port 0 takes a free one"}
	}
	return err
}
