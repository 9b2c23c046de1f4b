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
// a pipe it prints a plain line when something begins. What is over stays on the
// screen, what was broken off is taken away.
type progress struct {
	out  io.Writer
	bars *mpb.Progress // nil in a pipe

	mu    sync.Mutex
	named map[string]*mpb.Bar
	stop  chan struct{}
	timer sync.WaitGroup
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
	switch {
	case p.bars == nil:
		p.line(what, duration)
	case duration > 0:
		p.timed(what, duration)
	default:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.named[what] = p.bar(what, 0)
	}
}

// line prints what begins, as in a pipe.
func (p *progress) line(what string, duration time.Duration) {
	if duration > 0 {
		fmt.Fprintf(p.out, "%s for %v\n", what, duration)
	} else {
		fmt.Fprintf(p.out, "%s\n", what)
	}
}

// timed shows something that takes the given time. Of each name only the first
// call counts.
func (p *progress) timed(what string, duration time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.named[what]; known {
		return
	}
	p.named[what] = nil
	if p.bars == nil {
		p.line(what, duration)
		return
	}
	bar := p.bar(what, max(duration.Milliseconds(), 1))
	p.named[what] = bar
	begin := time.Now()
	p.timer.Go(func() {
		ticks := time.NewTicker(100 * time.Millisecond)
		defer ticks.Stop()
		for {
			passed := time.Since(begin)
			bar.SetCurrent(passed.Milliseconds()) // completes it at its total
			if passed >= duration {
				return
			}
			select {
			case <-ticks.C:
			case <-p.stop: // which may be between the last tick and the end
				bar.SetCurrent(time.Since(begin).Milliseconds())
				return
			}
		}
	})
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
		decor.OnComplete(decor.AverageETA(decor.ET_STYLE_MMSS), "done"),
		decor.OnComplete(decor.Name(" left"), ""),
	))
}

// done ends the display and leaves the cursor on a new line.
func (p *progress) done() {
	close(p.stop)
	p.timer.Wait()
	if p.bars == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, bar := range p.named {
		bar.Abort(true) // without effect on what is complete
	}
	p.bars.Wait()
}
