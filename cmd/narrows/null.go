package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/narrows-profiler/narrows/workloads/plan"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/serving"
)

// nullCommand is a server that answers a benchmark's requests at once. The load
// generator starts it to measure itself.
type nullCommand struct {
	Benchmark string `arg:"" help:"The benchmark whose requests it answers."`
	Listen    string `default:"127.0.0.1:0" help:"Address to listen at."`
}

func (c *nullCommand) Run(ctx context.Context, s streams) error {
	benchmark, err := plan.Lookup(c.Benchmark)
	if err != nil {
		return err
	}
	if benchmark.Null == nil || len(benchmark.Services) != 1 {
		return fmt.Errorf("there is no null server for %s", benchmark.Name)
	}
	return serving.Run(ctx, c.Listen, s.out, serving.Ready{Service: benchmark.Services[0]}, func() (http.Handler, serving.Config, error) {
		refuse := func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the server is shutting down", http.StatusServiceUnavailable)
		}
		return benchmark.Null(), serving.Config{Refuse: refuse, Grace: -1}, nil
	})
}

// nullServer starts it, as the program that runs is.
func nullServer(self string) func(plan.Benchmark) service.Command {
	return func(b plan.Benchmark) service.Command {
		return service.Command{Service: b.Services[0], Arguments: []string{self, "null", b.Name}}
	}
}
