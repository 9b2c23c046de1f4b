package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

// counting counts the writes that reach it.
type counting struct {
	mutex  sync.Mutex
	text   bytes.Buffer
	writes int
	fail   error
}

// seen returns what was written, and in how many writes.
func (c *counting) seen() (text string, writes int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.text.String(), c.writes
}

func (c *counting) Write(p []byte) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.writes++
	if c.fail != nil {
		return 0, c.fail
	}
	return c.text.Write(p)
}

func TestLinesLeaveTogetherAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out counting
		l := newBufferedLog(&out)
		logger := newLogger(l)
		for range 20 {
			logger.Info("task", "outcome", "ok")
		}
		synctest.Wait()
		if _, writes := out.seen(); writes != 0 {
			t.Errorf("%d writes at once", writes)
		}
		time.Sleep(flushEvery)
		synctest.Wait()
		if text, writes := out.seen(); writes != 1 || strings.Count(text, "\n") != 20 {
			t.Errorf("%d writes of %s", writes, text)
		}
		logger.Info("last")
		err := l.Close()
		if text, _ := out.seen(); err != nil || !strings.HasSuffix(text, "\"last\"}\n") {
			t.Errorf("%v: %s", err, text)
		}
	})
}

func TestLostLinesAreTold(t *testing.T) {
	full := errors.New("no space left")
	l := newBufferedLog(&counting{fail: full})
	newLogger(l).Info("task")
	if err := l.Close(); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

func TestLogFilesAreBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, []byte("older\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, open := range []func() (*boundedFile, func() error){
		func() (*boundedFile, func() error) {
			out, end, err := openLog(name)
			if err != nil {
				t.Fatal(err)
			}
			return out.(*boundedFile), end
		},
		func() (*boundedFile, func() error) {
			out, end, err := openUnnamedLog()
			if err != nil {
				t.Fatal(err)
			}
			return out.(*boundedFile), end
		},
	} {
		b, end := open()
		b.limit = 100
		for range 50 {
			if _, err := b.Write([]byte("0123456789abcde\n")); err != nil {
				t.Fatal(err)
			}
			if info, err := b.file.Stat(); err != nil || info.Size() > 100 || info.Size() != b.size {
				t.Fatalf("%d bytes, counted %d, %v", info.Size(), b.size, err)
			}
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := openLog(filepath.Join(name, "below a file")); err == nil {
		t.Error("a log was opened below a file")
	}
}

// Every task has its line, with what was waited and worked.
func TestTasksAreLogged(t *testing.T) {
	var out counting
	l := newBufferedLog(&out)
	s := start(t, Config{Log: newLogger(l)})
	s.text("/copilot", "@LENS @SILO "+question)
	s.get("POST", "/agents/APEX/invoke", "{")
	s.stop()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	type line struct {
		Level, Msg, Path, Outcome string
		Agents                    []string
		Bytes, Worked, Took       int
		Depth                     *int `json:"queue_depth"`
	}
	var lines []line
	written, _ := out.seen()
	for text := range strings.Lines(written) {
		var one line
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, one)
	}
	if len(lines) != 2 {
		t.Fatalf("%s", written)
	}
	if one := lines[0]; one.Path != "/copilot" || strings.Join(one.Agents, " ") != "LENS SILO" || one.Outcome != "ok" || one.Level != "INFO" ||
		one.Worked <= 0 || one.Took < one.Worked || one.Depth == nil || one.Bytes != len("@LENS @SILO "+question) {
		t.Errorf("%+v", one)
	}
	if two := lines[1]; two.Level != "WARN" || !strings.Contains(two.Outcome, "parsing the body") {
		t.Errorf("%+v", two)
	}
}

// The planted log writes a line for every passage that is scored, each at once.
func TestPlantedLogIsWasteful(t *testing.T) {
	var out counting
	lines := &lineLog{out: &out}
	scored := 0
	s := start(t, Config{Log: newLogger(lines), Search: knowledge.Options{Candidates: 20, Trace: func(p *knowledge.Passage, score float64) {
		scored++
		lines.scored(p, score)
	}}})
	s.text("/agents/APEX/invoke", question)
	s.stop()
	text, writes := out.seen()
	if got := strings.Count(text, "\n"); writes != scored+1 || got != writes || scored < 1000 {
		t.Errorf("%d writes of %d lines for %d passages", writes, got, scored)
	}
}
