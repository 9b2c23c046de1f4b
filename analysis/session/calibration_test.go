package session_test

import (
	"math"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/analysis/session"
)

func TestAnErrorBeyondChanceIsNamed(t *testing.T) {
	near := session.NewCheckValue("half", 50, 49, 2.8)
	for name, test := range map[string]struct {
		values []session.CheckValue
		want   session.CheckVerdict
		says   string
	}{
		"near":     {[]session.CheckValue{near}, session.WithinChance, "no value"},
		"far":      {[]session.CheckValue{near, session.NewCheckValue("third", 30, 26.5, 2.6)}, session.BeyondChance, "third was seen as 26.5 % and is 30.0"},
		"above":    {[]session.CheckValue{session.NewCheckValue("half", 50, 60, 2.8), near}, session.BeyondChance, "half was seen as 60.0 %"},
		"no value": {[]session.CheckValue{session.NewCheckValue("half", 50, math.NaN(), 2.8)}, session.BeyondChance, "NaN"},
		"no truth": {[]session.CheckValue{{Name: "price", Seen: 3}}, session.JustMeasured, "nothing"},
		"one of":   {[]session.CheckValue{{Name: "price", Seen: 3}, near}, session.WithinChance, "no value"},
	} {
		c := session.Check{Name: name, Unit: "%", Values: test.values}
		c.Judge()
		if c.Verdict != test.want || !strings.Contains(c.Reason, strings.Replace(test.says, "nothing", "no truth", 1)) {
			t.Errorf("%s: %s, %q", name, c.Verdict, c.Reason)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []session.Check{{}, {Name: "x", Verdict: session.WithinChance}, {Name: "x", Values: []session.CheckValue{near}, Verdict: "fine"}} {
		if c.Validate() == nil {
			t.Errorf("%+v is taken for a check", c)
		}
	}
}
