package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const ask = `"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"tell me"}]}]`

func TestChatStream(t *testing.T) {
	s := start(t, seeded(t))
	events := s.events("/v1/chat/completions", `{`+ask+`,"stream":true,"seed":7,"max_tokens":20}`)
	if n := len(events); n < 4 || events[n-1] != "[DONE]" {
		t.Fatalf("the stream does not end with [DONE]: %q", events)
	}
	var text strings.Builder
	var first clientChunk
	last := len(events) - 2
	for i, data := range events[:last+1] {
		if strings.Contains(data, "usage") {
			t.Errorf("chunk %d has a usage that was not asked for: %s", i, data)
		}
		c := strict[clientChunk](t, []byte(data))
		if i == 0 {
			first = c
		}
		if c.Object != "chat.completion.chunk" || c.Model != "m" || c.Created == 0 || c.ID == "" || c.ID != first.ID || c.Created != first.Created {
			t.Errorf("chunk %d: %s", i, data)
		}
		if len(c.Choices) != 1 {
			t.Fatalf("chunk %d has %d choices", i, len(c.Choices))
		}
		choice := c.Choices[0]
		if (choice.Delta.Role == "assistant") != (i == 0) {
			t.Errorf("chunk %d has role %q", i, choice.Delta.Role)
		}
		if (choice.FinishReason != nil) != (i == last) {
			t.Errorf("chunk %d has a finish reason, or the last has none: %s", i, data)
		}
		if i > 0 && i < last && (choice.Delta.Content == nil || *choice.Delta.Content == "") {
			t.Errorf("chunk %d has no content", i)
		}
		if choice.Delta.Content != nil {
			text.WriteString(*choice.Delta.Content)
		}
		if i == last && *choice.FinishReason != "length" {
			t.Errorf("finish reason %q", *choice.FinishReason)
		}
	}

	status, body := s.post("/v1/chat/completions", `{`+ask+`,"seed":7,"max_tokens":20}`)
	whole := strict[clientChat](t, body)
	if status != 200 || whole.Object != "chat.completion" || len(whole.Choices) != 1 || !strings.HasPrefix(whole.ID, "chatcmpl-") {
		t.Fatalf("status %d: %s", status, body)
	}
	if got := whole.Choices[0]; got.Message.Role != "assistant" || got.FinishReason != "length" || got.Message.Content != text.String() {
		t.Errorf("whole answer %+v, streamed %q", got, text.String())
	}
	if u := whole.Usage; u.CompletionTokens != 20 || u.PromptTokens < 10 || u.TotalTokens != u.PromptTokens+20 {
		t.Errorf("usage %+v", u)
	}
}

func TestStreamWithUsage(t *testing.T) {
	s := start(t, seeded(t))
	for path, body := range map[string]string{"/v1/chat/completions": ask, "/v1/completions": `"prompt":"a b c"`} {
		events := s.events(path, `{`+body+`,"stream":true,"max_tokens":5,"stream_options":{"include_usage":true}}`)
		n := len(events)
		for _, data := range events[:n-2] {
			if !strings.Contains(data, `"usage":null`) {
				t.Errorf("%s: no null usage in %s", path, data)
			}
		}
		end := strict[clientChunk](t, []byte(events[n-2]))
		if len(end.Choices) != 0 || !strings.Contains(events[n-2], `"choices":[]`) {
			t.Errorf("%s: the usage's chunk has choices: %s", path, events[n-2])
		}
		if end.Usage == nil || end.Usage.CompletionTokens != 5 || end.Usage.TotalTokens != 5+end.Usage.PromptTokens {
			t.Errorf("%s: usage %s", path, events[n-2])
		}
	}
}

func TestCompletionStream(t *testing.T) {
	s := start(t, seeded(t))
	const request = `{"prompt":"once","seed":-3,"top_p":0.9,"top_k":50,"temperature":0.8`
	events := s.events("/v1/completions", request+`,"stream":true}`)
	var text strings.Builder
	for i, data := range events[:len(events)-1] {
		c := strict[clientText](t, []byte(data))
		if c.Object != "text_completion" || len(c.Choices) != 1 || !strings.HasPrefix(c.ID, "cmpl-") {
			t.Fatalf("chunk %d: %s", i, data)
		}
		text.WriteString(c.Choices[0].Text)
	}
	_, body := s.post("/v1/completions", request+`,"stream":false,"max_completion_tokens":16}`)
	whole := strict[clientText](t, body)
	if whole.Choices[0].Text != text.String() || whole.Usage.CompletionTokens != defaultCompletion {
		t.Errorf("whole answer %s, streamed %q", body, text.String())
	}
}

func TestSeedDecides(t *testing.T) {
	s := start(t, seeded(t))
	text := func(extra string) string {
		_, body := s.post("/v1/completions", `{"prompt":"x","max_tokens":30`+extra+`}`)
		return strict[clientText](t, body).Choices[0].Text
	}
	if a, b := text(`,"seed":1`), text(`,"seed":1`); a != b {
		t.Errorf("one seed gave %q and %q", a, b)
	}
	if a, b := text(`,"seed":1`), text(`,"seed":2`); a == b {
		t.Errorf("two seeds gave the same text %q", a)
	}
	if a, b := text(``), text(``); a == b {
		t.Errorf("without a seed two requests gave the same text %q", a)
	}
	if a, b := text(`,"seed":1,"temperature":0`), text(`,"seed":2,"temperature":0`); a != b {
		t.Errorf("at temperature 0 two seeds gave %q and %q", a, b)
	}
}

// script has characters of one to four bytes, no byte of which occurs twice.
const script = "añb你c🙂d"

func TestStreamKeepsCharactersWhole(t *testing.T) {
	s := start(t, scripted(t, script, 64))
	for limit := 1; limit <= 2*len(script); limit++ {
		var got []string
		events := s.events("/v1/completions", fmt.Sprintf(`{"stream":true,"temperature":0,"max_tokens":%d}`, limit))
		for _, data := range events[:len(events)-2] {
			got = append(got, strict[clientText](t, []byte(data)).Choices[0].Text)
		}
		written := (script + script)[:limit]
		var want []string
		for len(written) > 0 {
			r, size := utf8.DecodeRuneInString(written)
			if r == utf8.RuneError {
				size = len(written) // cut off by the limit: one replacement
			}
			want = append(want, string(r))
			written = written[size:]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d tokens gave the chunks %q, want %q", limit, got, want)
		}
	}
}

func TestStopSequences(t *testing.T) {
	s := start(t, scripted(t, script, 64))
	for _, c := range []struct {
		stop, text, reason string
		tokens             int
	}{
		{`"b"`, "añ", "stop", 4},
		{`["zz","b你"]`, "añ", "stop", 7},
		{`["🙂d","c🙂d"]`, "añb你", "stop", 13},
		{`"da"`, "añb你c🙂", "stop", 14},
		{`"bx"`, "añb你c🙂dañ", "length", 16},
		{`"\ufffd"`, "a", "stop", 2},
		{`"x"`, "a\uFFFD", "length", 2},
		{`null`, "añb你c🙂dañ", "length", 16},
	} {
		limit := 16
		if c.tokens < 3 {
			limit = c.tokens // in the middle of a character
		}
		_, body := s.post("/v1/completions", fmt.Sprintf(`{"temperature":0,"max_tokens":%d,"stop":%s}`, limit, c.stop))
		got := strict[clientText](t, body)
		if o := got.Choices[0]; o.Text != c.text || *o.FinishReason != c.reason || got.Usage.CompletionTokens != c.tokens {
			t.Errorf("stop %s gave %s, want %q, %s, %d tokens", c.stop, body, c.text, c.reason, c.tokens)
		}
	}
}
