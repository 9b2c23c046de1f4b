package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
	"github.com/narrows-profiler/narrows/workloads/plant"
	"github.com/narrows-profiler/narrows/workloads/serving"
)

// Options are the command line of the service, tagged for
// github.com/alecthomas/kong so that a command can embed them. [DefaultOptions]
// gives the same defaults to other callers.
type Options struct {
	Listen     string        `default:"127.0.0.1:8080" help:"Address to listen on; port 0 takes a free one."`
	Workers    int           `default:"0" help:"Tasks computed at once, each on one core; 0 for as many as cores."`
	Waiting    int           `default:"64" help:"Tasks that may wait for a worker; 0 for none. More are answered 503."`
	Timeout    time.Duration `default:"30s" help:"How long a task may take, its waiting included."`
	Candidates int           `default:"256" help:"Passages that each step of a task compares closely; what a task costs grows with it."`
	Log        string        `default:"-" placeholder:"FILE" help:"File that gets a line for each task, emptied at 64 MiB; - for standard error."`
	Ryot       string        `placeholder:"URL" help:"Language model that writes a text where a task asks for one. Without it the agents answer from their own index and say so."`
	RyotModel  string        `placeholder:"NAME" help:"Name of the model, where the service wants one."`
	Sigmalang  string        `placeholder:"URL" help:"Service that compresses the answer where a task asks for it."`
	Sigmavault string        `placeholder:"URL" help:"Service that stores the answer where a task asks for it."`
	Plant      string        `placeholder:"FAULT" help:"Start with a known bottleneck, FAULT, or with its fix, FAULT=fixed; docs/planted.md lists them."`
}

// DefaultOptions are those of a command line without flags.
func DefaultOptions() Options {
	return Options{
		Listen: "127.0.0.1:8080", Waiting: defaultWaiting, Timeout: defaultTimeout,
		Candidates: defaultCandidates, Log: "-",
	}
}

// Run listens, loads the knowledge, writes a line with a [serving.Ready] to out, and
// serves until ctx ends.
func (o Options) Run(ctx context.Context, out io.Writer) (err error) {
	var closing []func() error
	defer func() {
		for i := len(closing) - 1; i >= 0; i-- {
			err = errors.Join(err, closing[i]())
		}
	}()
	return serving.Run(ctx, o.Listen, out, serving.Ready{Service: "agents"}, func() (http.Handler, serving.Config, error) {
		c, end, err := o.config()
		if err != nil {
			return nil, serving.Config{}, err
		}
		closing = append(closing, end)
		s, err := New(c)
		if err != nil {
			return nil, serving.Config{}, err
		}
		return s, s.serving(), nil
	})
}

// config makes the server's configuration; end closes what it opened.
func (o Options) config() (c Config, end func() error, err error) {
	choice, err := plant.Parse(o.Plant, Faults())
	if err != nil {
		return Config{}, nil, err
	}
	c = Config{Workers: o.Workers, Waiting: o.Waiting, Timeout: o.Timeout}
	if o.Waiting <= 0 {
		c.Waiting = -1
	}
	c.Search.Candidates = o.Candidates
	c.Search.Scan = choice.Has(passageScan)
	c.Search.Boxed = choice.Has(boxedMatrix)
	if choice.Has(keptTranscripts) {
		c.transcripts = new(transcripts)
	}
	switch {
	case choice.Has(tooFewWorkers):
		c.Workers = 1
	case c.Workers == 0 && (choice.Fault == loggingMutex || choice.Fault == unbufferedFindings):
		c.Workers = crowd * runtime.GOMAXPROCS(0)
	}
	if c.Partners, err = NewPartners(o.Ryot, o.RyotModel, o.Sigmalang, o.Sigmavault); err != nil {
		return Config{}, nil, err
	}
	endLog, err := o.logTo(&c, choice)
	if err != nil {
		return Config{}, nil, err
	}
	endTally, err := tallyOf(&c, choice)
	if err != nil {
		return Config{}, nil, errors.Join(err, endLog())
	}
	return c, func() error { c.Partners.Close(); endTally(); return endLog() }, nil
}

// tallyOf counts what searches find, with the fault in that and with its fix, and logs
// it at the end.
func tallyOf(c *Config, choice plant.Choice) (end func(), err error) {
	if choice.Fault != unbufferedFindings {
		return func() {}, nil
	}
	var findings tally = new(counters)
	if choice.Has(unbufferedFindings) {
		index, err := knowledge.Load()
		if err != nil {
			return nil, fmt.Errorf("loading what there is to find: %w", err)
		}
		findings = newLeagueTable(index)
	}
	c.Search.Trace = findings.report
	log := c.Log
	return func() { logStandings(log, findings.standings()) }, nil
}

// logTo opens the log. The fault in it and its fix write to a file without a name where
// no other is given: a standard error that somebody reads would measure the reader.
func (o Options) logTo(c *Config, choice plant.Choice) (end func() error, err error) {
	out, closeFile, err := openLog(o.Log)
	if choice.Fault == loggingMutex && o.Log == "-" {
		out, closeFile, err = openUnnamedLog()
	}
	if err != nil {
		return nil, err
	}
	if choice.Has(loggingMutex) {
		lines := &lineLog{out: out}
		c.Search.Trace, c.Search.Begin = lines.scored, lines.begin
		c.Log = newLogger(lines)
		return closeFile, nil
	}
	buffered := newBufferedLog(out)
	c.Log = newLogger(buffered)
	return func() error { return errors.Join(buffered.Close(), closeFile()) }, nil
}
