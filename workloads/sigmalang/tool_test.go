package sigmalang

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// driveTool runs a shape against a script that is a tool; it must be called in a
// bubble. Odd may change each line that the tool says.
func driveTool(t *testing.T, s shape, model *script, options load.Options, odd func(number int, line string) string) outcome {
	t.Helper()
	var result outcome
	in, theirIn := net.Pipe()
	theirOut, out := net.Pipe()
	var served sync.WaitGroup
	served.Go(func() {
		defer theirOut.Close()
		defer theirIn.Close()
		lines := bufio.NewScanner(theirIn)
		lines.Buffer(nil, 64<<20)
		for number := 0; lines.Scan(); number++ {
			line := model.speak(t, lines.Bytes())
			if odd != nil {
				line = odd(number, line)
			}
			if _, err := theirOut.Write([]byte(line)); err != nil {
				return
			}
			if line == "" {
				continue
			}
			if !strings.HasSuffix(line, "\n") {
				return
			}
		}
	})
	endpoint := service.Endpoint{URL: "stdio:tool", Input: in, Output: out}
	result.document, result.err = run(t.Context(), assignment("CompressionRatioBenchmark", endpoint, options, &result), s)
	served.Wait()
	_ = out.Close()
	return result
}

// speak answers one message as the service's tool does.
func (s *script) speak(t *testing.T, line []byte) string {
	var m struct {
		JSONRPC string
		ID      json.RawMessage
		Method  string
		Params  struct {
			Name      string
			Arguments map[string]string
		}
	}
	if err := json.Unmarshal(line, &m); err != nil || m.JSONRPC != "2.0" {
		t.Errorf("%.100s: %v", line, err)
	}
	var given any
	switch {
	case m.Method == "initialize":
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"sigmalang","version":"1"}}}`+"\n", m.ID)
	case m.Method == "notifications/initialized":
		return ""
	case m.Params.Name == "sigma_encode":
		text := m.Params.Arguments["text"]
		digits, size := s.encode(text)
		given = map[string]any{"encoded": digits, "original_size": len(text), "compressed_size": size, "compression_ratio": float64(len(text)) / float64(size)}
	case m.Params.Name == "sigma_decode":
		given = map[string]any{"decoded": s.decode(m.Params.Arguments["encoded_hex"])}
	default:
		t.Errorf("%.100s", line)
	}
	text, err := json.Marshal(given)
	if err != nil {
		t.Error(err)
	}
	quoted, err := json.Marshal(string(text))
	if err != nil {
		t.Error(err)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":%s}]}}`+"\n", m.ID, quoted)
}

func TestToolIsDrivenAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &script{perMB: 8 * time.Millisecond, perMBBack: 2 * time.Millisecond, ratio: 4}
		chatter := func(_ int, line string) string {
			return "Loading glyphs...\n" + `{"jsonrpc":"2.0","method":"notifications/progress","params":{}}` + "\n" + line
		}
		got := driveTool(t, small(compressionThroughput()), model, load.Options{Iterations: 60, Seed: 5}, chatter)
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		for name, want := range map[string]float64{
			"compression_ratio": 4, "round_trip_ok_ratio": 1, "throughput_mb_per_s": 125, "decompress_ms_per_mb": 2, "request_p95_ms": 4 * 0.020,
		} {
			if v := value(t, d, name); !near(v, want) {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
		if d.N != 60 || d.Provenance.TargetURL != "stdio:tool" || d.RoundTrip.Lossless != "true" || d.Targets[0].Verdict != metrics.Met {
			t.Errorf("n %d, %+v, %s, %+v", d.N, d.Provenance, d.RoundTrip, d.Targets[0])
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}

func TestToolsFailuresHaveTheirKinds(t *testing.T) {
	const last = 100 // well within the measured calls
	for name, test := range map[string]struct {
		line string
		want metrics.Outcome
		n    int // valid answers before; those after depend on whether it lives
	}{
		"it dies":              {"Traceback (most recent call last):", metrics.Truncated, -1},
		"it ends in a message": {`{"jsonrpc":"2.0","id":`, metrics.Truncated, -1},
		"it says garbage":      {"\x00\xff garbage\n", metrics.TimedOut, 19},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				odd := func(number int, line string) string {
					if number == last {
						return test.line
					}
					return line
				}
				model := &script{perMB: 10 * time.Millisecond, perMBBack: 10 * time.Millisecond, ratio: 4}
				got := driveTool(t, small(compressionRatio()), model, load.Options{Iterations: 20, Concurrency: 1, Seed: 1, Timeout: time.Second}, odd)
				if got.err != nil {
					t.Fatal(got.err)
				}
				d := got.document
				if d.Errors[string(test.want)] == 0 || test.n >= 0 && d.N != test.n || d.N == 0 {
					t.Errorf("n %d, errors %v", d.N, d.Errors)
				}
				if v := value(t, d, "throughput_mb_per_s"); !near(v, 100) {
					t.Errorf("%v MB/s, want the 100 of the valid answers", v)
				}
			})
		})
	}
}

// A command that is no such tool fails the benchmark, with what it said.
func TestNoToolFails(t *testing.T) {
	for name, odd := range map[string]func(int, string) string{
		"it ends": func(int, string) string { return "sh: sigma: not found" },
		"it refuses": func(int, string) string {
			return `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"who are you"}}` + "\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := driveTool(t, small(compressionRatio()), &script{ratio: 4}, load.Options{Iterations: 20, Timeout: time.Second}, odd)
				if got.err != nil {
					t.Fatal(got.err)
				}
				if d := got.document; d.Status != metrics.Failed || d.StatusReason == "" {
					t.Errorf("%s: %s", d.Status, d.StatusReason)
				}
			})
		})
	}
}
