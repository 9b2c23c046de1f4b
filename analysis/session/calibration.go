package session

import (
	"errors"
	"fmt"
	"math"
)

// Check is one thing that was known on this host, was measured by Narrows all the
// same, and shows how far its numbers can be trusted there.
type Check struct {
	// Name tells checks apart, for example "cpu split".
	Name string `json:"name"`
	// What says in words what was known.
	What string `json:"what"`
	// Samples is the number of samples or events behind the values, 0 where they
	// are no samples.
	Samples int64        `json:"samples"`
	Unit    string       `json:"unit"` // of all values
	Values  []CheckValue `json:"values"`
	Verdict CheckVerdict `json:"verdict"`
	// Reason says what the verdict rests on.
	Reason string `json:"reason"`
}

// CheckValue is one number of a check. Truth is nil where nothing is known to compare
// with, Bound, the largest error that chance explains, where there is no truth.
type CheckValue struct {
	Name  string   `json:"name"`
	Truth *float64 `json:"truth"`
	Seen  float64  `json:"seen"`
	Error *float64 `json:"error"` // Seen less Truth
	Bound *float64 `json:"bound"`
}

// CheckVerdict is how a check came out.
type CheckVerdict string

// The verdicts of a check.
const (
	WithinChance CheckVerdict = "within chance" // no error is larger than chance explains
	BeyondChance CheckVerdict = "beyond chance" // one is: the instrument errs on this host
	JustMeasured CheckVerdict = "measured"      // there is no truth to compare with
)

// NewCheckValue compares what was seen with the truth.
func NewCheckValue(name string, truth, seen, bound float64) CheckValue {
	difference := seen - truth
	return CheckValue{Name: name, Truth: &truth, Seen: seen, Error: &difference, Bound: &bound}
}

// Judge sets the verdict from the values.
func (c *Check) Judge() {
	c.Verdict, c.Reason = JustMeasured, "there is no truth to compare with"
	for _, v := range c.Values {
		if v.Error == nil || v.Bound == nil {
			continue
		}
		// Negated, so that NaN counts as beyond.
		if !(math.Abs(*v.Error) <= *v.Bound) {
			c.Verdict = BeyondChance
			c.Reason = fmt.Sprintf("%s was seen as %.1f %s and is %.1f, where chance explains a difference of %.1f", v.Name, v.Seen, c.Unit, *v.Truth, *v.Bound)
			return
		}
		c.Verdict, c.Reason = WithinChance, "no value is farther from the truth than chance explains"
	}
}

// Validate says what is wrong with a check that was read.
func (c *Check) Validate() error {
	var errs []error
	switch c.Verdict {
	case WithinChance, BeyondChance, JustMeasured:
	default:
		errs = append(errs, fmt.Errorf("unknown verdict %q", c.Verdict))
	}
	if c.Name == "" || len(c.Values) == 0 {
		errs = append(errs, fmt.Errorf("a check %q of %d values", c.Name, len(c.Values)))
	}
	return errors.Join(errs...)
}
