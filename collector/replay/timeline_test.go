package replay

import (
	"fmt"
	"strings"
	"testing"
)

func TestTimelineAt(t *testing.T) {
	var line Timeline
	line.Mark(10, "A", "prefill")
	line.Mark(30, "", "")
	line.Mark(20, "A", "decode") // marks may come in any order
	for _, test := range []struct {
		time             uint64
		benchmark, phase string
	}{
		{9, "", ""}, {10, "A", "prefill"}, {19, "A", "prefill"}, {20, "A", "decode"}, {29, "A", "decode"}, {30, "", ""},
	} {
		if b, p := line.At(test.time); b != test.benchmark || p != test.phase {
			t.Errorf("at %d: %q %q, want %q %q", test.time, b, p, test.benchmark, test.phase)
		}
	}
	for _, test := range []struct {
		from, to uint64
		want     string
	}{
		{0, 5, "/:5"}, {5, 35, "/:5 A/prefill:10 A/decode:10 /:5"}, {10, 20, "A/prefill:10"}, {12, 12, "A/prefill:0"}, {20, 30, "A/decode:10"}, {29, 31, "A/decode:1 /:1"},
	} {
		var got []string
		line.Split(test.from, test.to, func(b, p string, length uint64) { got = append(got, fmt.Sprintf("%s/%s:%d", b, p, length)) })
		if joined := strings.Join(got, " "); joined != test.want {
			t.Errorf("from %d to %d: %s, want %s", test.from, test.to, joined, test.want)
		}
	}
	line.Forget(25)
	if b, p := line.At(26); b != "A" || p != "decode" {
		t.Errorf("after forgetting: %q %q", b, p)
	}
	if len(line.marks) != 2 {
		t.Errorf("%d marks kept, want the one in force and the one after", len(line.marks))
	}
}
