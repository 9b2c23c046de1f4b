package metrics

import (
	"bytes"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func instant(ns int64) Instant {
	return Instant{Time: time.Date(2026, 3, 1, 12, 0, 0, int(ns), time.UTC), MonotonicNs: 5_000_000_000 + ns}
}

func answered() Request {
	sent, firstByte, firstToken := instant(10), instant(20), instant(30)
	return Request{
		IntendedStart: instant(0), Sent: &sent, FirstByte: &firstByte, FirstToken: &firstToken, End: instant(40),
		LocalPort: 40000, Outcome: OK, Tokens: 3, TokensFrom: "usage", Bytes: 512,
	}
}

func unsent() Request {
	return Request{Index: 1, IntendedStart: instant(0), End: instant(40), Outcome: Dropped, Error: "no free slot"}
}

func TestRequestsRoundTripAndConform(t *testing.T) {
	schema := compile(t, "request.schema.json")
	full := unsent()
	full.Outcome = SystemOutcome(syscall.ENOSPC)
	want := []Request{answered(), unsent(), full}
	var file bytes.Buffer
	writer := NewRequestWriter(&file)
	for _, request := range want {
		if err := writer.Write(request); err != nil {
			t.Fatal(err)
		}
	}
	for line := range bytes.Lines(file.Bytes()) {
		if err := conforms(t, schema, line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	var got []Request
	for request, err := range ReadRequests(&file) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, request)
	}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Error(difference)
	}
}

func TestRequestSchemaRefuses(t *testing.T) {
	schema := compile(t, "request.schema.json")
	var file bytes.Buffer
	if err := NewRequestWriter(&file).Write(answered()); err != nil {
		t.Fatal(err)
	}
	for _, replacement := range [][2]string{
		{`"index":0`, `"index":-1`},
		{`"index":0`, `"index":0,"extra":1`},
		{`"outcome":"ok"`, `"outcome":"fine"`},
		{`"local_port":40000`, `"local_port":70000`},
		{`"end":{`, `"end":null,"unused":{`},
	} {
		changed := strings.Replace(file.String(), replacement[0], replacement[1], 1)
		if changed == file.String() {
			t.Fatalf("%s does not occur", replacement[0])
		}
		if conforms(t, schema, []byte(changed)) == nil {
			t.Errorf("%s: accepted", replacement[1])
		}
	}
}

func TestRequestValidate(t *testing.T) {
	early := instant(-1)
	for name, change := range map[string]func(*Request){
		"sent before its intended start": func(r *Request) { r.Sent = &early },
		"ok without an answer":           func(r *Request) { r.FirstByte = nil },
		"ok with an error":               func(r *Request) { r.Error = "no" },
		"unknown outcome":                func(r *Request) { r.Outcome = "http_5xx" },
		"uncounted tokens":               func(r *Request) { r.TokensFrom = "" },
		"port":                           func(r *Request) { r.LocalPort = 65536 },
	} {
		request := answered()
		change(&request)
		if request.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestReadRequestsNamesTheLine(t *testing.T) {
	var file bytes.Buffer
	if err := NewRequestWriter(&file).Write(answered()); err != nil {
		t.Fatal(err)
	}
	whole := file.Len()
	file.WriteString(file.String()[:whole/2])
	var count int
	var failure error
	for _, err := range ReadRequests(&file) {
		if err != nil {
			failure = err
			break
		}
		count++
	}
	if count != 1 || failure == nil || !strings.Contains(failure.Error(), "line 2") {
		t.Errorf("%d requests, then %v; want one and an error on line 2", count, failure)
	}
}

func FuzzReadRequests(f *testing.F) {
	var file bytes.Buffer
	for _, request := range []Request{answered(), unsent()} {
		if err := NewRequestWriter(&file).Write(request); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(file.Bytes())
	f.Add([]byte("{}\n\n{"))
	f.Fuzz(func(t *testing.T, content []byte) {
		for request, err := range ReadRequests(bytes.NewReader(content)) {
			if err != nil {
				return
			}
			if err := NewRequestWriter(io.Discard).Write(request); err != nil {
				t.Errorf("read, but not written again: %v", err)
			}
		}
	})
}

func TestSystemOutcomes(t *testing.T) {
	for number, want := range map[syscall.Errno]Outcome{syscall.ENOSPC: "errno_enospc", syscall.EIO: "errno_eio", 4000: "errno_4000"} {
		if got := SystemOutcome(number); got != want || !got.Known() {
			t.Errorf("%v: %q", number, got)
		}
	}
	for _, unknown := range []Outcome{"errno_", "errno_ENOSPC", "http_1", "errno_eio "} {
		if unknown.Known() {
			t.Errorf("%q is known", unknown)
		}
	}
}
