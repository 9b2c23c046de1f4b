package server

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// BenchmarkChat streams answers of 64 tokens to prompts of about 64 from the
// service as it is started without flags, one request at a time, over loopback.
// Its CPU profile is what a profiler should find in the service.
func BenchmarkChat(b *testing.B) {
	c, err := DefaultOptions().Config()
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	const words = "which place of this long channel is the tightest one and how sure are we of that when many boats pass it in both directions on the same day"
	seed, tokens := 0, 0
	var first, rest time.Duration
	for b.Loop() {
		seed++
		body := fmt.Sprintf(`{"stream":true,"seed":%d,"top_p":0.95,"max_tokens":64,"messages":[{"role":"user","content":"%d %s"}]}`, seed, seed, words)
		begin := time.Now()
		answer, err := http.Post(h.URL+"/v1/chat/completions", "application/json", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		var at time.Time
		lines := bufio.NewScanner(answer.Body)
		n := 0
		for lines.Scan() {
			if text := lines.Text(); strings.Contains(text, `"content":"`) && !strings.Contains(text, `"content":""`) {
				if n++; n == 1 {
					at = time.Now()
				}
			}
		}
		answer.Body.Close()
		if err := lines.Err(); err != nil || n == 0 {
			b.Fatalf("%d chunks, %v", n, err)
		}
		first += at.Sub(begin)
		rest += time.Since(at)
		tokens += n - 1
	}
	b.ReportMetric(float64(first.Microseconds())/1000/float64(b.N), "ms-to-first-token")
	b.ReportMetric(float64(tokens)/rest.Seconds(), "tokens/s")
}
