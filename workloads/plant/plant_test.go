package plant

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	faults := []Fault{{Name: "slow"}, {Name: "slower"}}
	for text, want := range map[string]Choice{
		"": {}, "slow": {"slow", false}, "slow=fixed": {"slow", true}, "slower": {"slower", false},
	} {
		got, err := Parse(text, faults)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"=fixed", "slo", "slow=broken", "slow=fixed=fixed"} {
		if got, err := Parse(text, faults); err == nil || !strings.Contains(err.Error(), "slow, slower") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	planted, mended, none := Choice{"slow", false}, Choice{"slow", true}, Choice{}
	if !planted.Has("slow") || planted.Has("slower") || mended.Has("slow") || !mended.Mended("slow") || planted.Mended("slow") || none.Has("") {
		t.Error("what is planted is not what was chosen")
	}
}
