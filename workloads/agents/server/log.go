package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

const (
	logBuffer = 64 << 10
	// flushEvery bounds how long a line stays in the buffer.
	flushEvery = time.Second
	// logLimit is the size at which a log file is emptied, in bytes.
	logLimit = 64 << 20
)

// bufferedLog is a writer that hands lines on in large pieces, the last of them at most
// a moment later. Its lock is held for a copy into memory, seldom for a write.
type bufferedLog struct {
	mutex  sync.Mutex
	buffer *bufio.Writer
	stop   chan struct{}
	over   sync.WaitGroup
}

// newBufferedLog begins to hand on to out; it ends with Close.
func newBufferedLog(out io.Writer) *bufferedLog {
	l := &bufferedLog{buffer: bufio.NewWriterSize(out, logBuffer), stop: make(chan struct{})}
	l.over.Go(l.flushing)
	return l
}

func (l *bufferedLog) flushing() {
	ticks := time.NewTicker(flushEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			_ = l.flush() // the buffer keeps its error for Close
		case <-l.stop:
			return
		}
	}
}

func (l *bufferedLog) flush() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.buffer.Flush()
}

// Write takes one line.
func (l *bufferedLog) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.buffer.Write(line)
}

// Close hands on what is left and returns the first error of a write.
func (l *bufferedLog) Close() error {
	close(l.stop)
	l.over.Wait()
	if err := l.flush(); err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	return nil
}

// boundedFile is a file that is emptied when it has grown to its limit, so that a log
// cannot fill a disk. It serves one goroutine at a time.
type boundedFile struct {
	file  *os.File
	limit int64
	size  int64
}

// Write appends to the file.
func (b *boundedFile) Write(p []byte) (int, error) {
	if b.size+int64(len(p)) > b.limit {
		if err := b.file.Truncate(0); err != nil {
			return 0, fmt.Errorf("emptying the log: %w", err)
		}
		if _, err := b.file.Seek(0, io.SeekStart); err != nil {
			return 0, fmt.Errorf("emptying the log: %w", err)
		}
		b.size = 0
	}
	n, err := b.file.Write(p)
	b.size += int64(n)
	return n, err
}

// openLog opens the place that an option names: a file, or standard error for "-".
func openLog(name string) (io.Writer, func() error, error) {
	if name == "-" {
		return os.Stderr, func() error { return nil }, nil
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("looking at the log: %w", err), file.Close())
	}
	return &boundedFile{file, logLimit, info.Size()}, file.Close, nil
}

// openUnnamedLog opens a file that vanishes with the process.
func openUnnamedLog() (io.Writer, func() error, error) {
	file, err := os.CreateTemp("", "narrows-agents-*.log")
	if err != nil {
		return nil, nil, fmt.Errorf("making a place for the log: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("making a place for the log: %w", err), file.Close())
	}
	return &boundedFile{file, logLimit, 0}, file.Close, nil
}

// lineLog writes a line for each passage that a search looks at, by a system call each. The
// lines of a search are kept together by the log's lock: a planted fault.
type lineLog struct {
	mutex sync.Mutex
	out   io.Writer
}

// Write hands on one line, under the lock as well.
func (l *lineLog) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.out.Write(line)
}

// begin keeps others from the log until the search has ended.
func (l *lineLog) begin() (end func()) {
	l.mutex.Lock()
	return l.end
}

func (l *lineLog) end() { l.mutex.Unlock() }

// scored writes a passage's line. The lock is the caller's.
func (l *lineLog) scored(p *knowledge.Passage, score float64) {
	fmt.Fprintf(l.out, "time=%s level=DEBUG msg=scored domain=%s technique=%q setting=%q score=%.4f\n",
		time.Now().Format(time.RFC3339Nano), p.Domain, p.Technique, p.Setting, score)
}

// newLogger makes the log of tasks from where its lines go.
func newLogger(out io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(out, nil)) }
