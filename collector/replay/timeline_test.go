package replay

import "testing"

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
	line.Forget(25)
	if b, p := line.At(26); b != "A" || p != "decode" {
		t.Errorf("after forgetting: %q %q", b, p)
	}
	if len(line.marks) != 2 {
		t.Errorf("%d marks kept, want the one in force and the one after", len(line.marks))
	}
}
