package openai

import (
	"bytes"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// FuzzAnswer checks that no stream passes for an answer without content and an
// end, and that an answer's times follow one another.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(role + piece("a") + piece("b") + finish + counts + done))
	f.Add([]byte("data: {\"choices\":[{\"text\":\"x\",\"finish_reason\":\"stop\"}]}\n\n"))
	f.Add([]byte("event: error\ndata: {}\n\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var answer Answer
		told := 0
		err := answer.read(NewReader(bytes.NewReader(stream)), func() { told++ })
		if err == nil && answer.Outcome == "" {
			t.Fatal("neither an error nor an outcome")
		}
		if told > 1 || (told == 1) == answer.FirstToken.IsZero() {
			t.Fatalf("told of a first token %d times, its time is %v", told, answer.FirstToken)
		}
		if answer.Outcome != metrics.OK {
			return
		}
		if answer.Text == "" || answer.Tokens < 1 || answer.Err != nil || err != nil {
			t.Fatalf("%+v (%v)", answer, err)
		}
		last := answer.FirstToken
		for _, at := range append(answer.Chunks, answer.End) {
			if at.Sub(last) < 0 {
				t.Fatalf("%v after %v", last, at)
			}
			last = at
		}
		if time.Since(last) < 0 {
			t.Fatal("an end in the future")
		}
	})
}
