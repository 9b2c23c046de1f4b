package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress tells on a terminal how far things are and how long they will take; in
// a pipe it prints a plain line when something begins.
type progress struct {
	out  io.Writer
	bars *mpb.Progress // nil in a pipe

	mu    sync.Mutex
	named map[string]*mpb.Bar
	stop  chan struct{}
	timed sync.WaitGroup
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, named: map[string]*mpb.Bar{}, stop: make(chan struct{})}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(40))
	}
	return p
}

// start shows something that takes the given time, or, if that is 0, as long as it
// takes.
func (p *progress) start(what string, duration time.Duration) {
	if p.bars == nil {
		p.line(what, duration)
		return
	}
	if duration <= 0 {
		p.bar(what, 0)
		return
	}
	steps := int64(duration / (100 * time.Millisecond))
	bar := p.bar(what, max(steps, 1))
	p.timed.Go(func() {
		ticks := time.NewTicker(100 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				bar.Increment()
			case <-p.stop:
				return
			}
		}
	})
}

func (p *progress) line(what string, duration time.Duration) {
	if duration > 0 {
		fmt.Fprintf(p.out, "%s for %v\n", what, duration)
	} else {
		fmt.Fprintf(p.out, "%s\n", what)
	}
}

// set shows that done of total steps of something are behind us.
func (p *progress) set(what string, done, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bar, known := p.named[what]
	if p.bars == nil {
		if !known {
			p.named[what] = nil
			fmt.Fprintf(p.out, "%s: %d requests\n", what, total)
		}
		return
	}
	if !known {
		bar = p.bar(what, int64(total))
		p.named[what] = bar
	}
	bar.SetTotal(int64(total), false)
	bar.SetCurrent(int64(done))
}

// bar adds a bar; with no total it only shows the time passed.
func (p *progress) bar(what string, total int64) *mpb.Bar {
	name := mpb.PrependDecorators(decor.Name(what+"  ", decor.WCSyncSpaceR))
	if total <= 0 {
		return p.bars.AddSpinner(0, name, mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_MMSS)))
	}
	return p.bars.AddBar(total, name, mpb.AppendDecorators(
		decor.Percentage(decor.WCSyncSpace), decor.Name("  "),
		decor.OnComplete(decor.AverageETA(decor.ET_STYLE_MMSS, decor.WCSyncSpace), "done"),
	))
}

// done ends the display and leaves the cursor on a new line.
func (p *progress) done() {
	close(p.stop)
	p.timed.Wait()
	if p.bars != nil {
		p.bars.Shutdown()
	}
}
