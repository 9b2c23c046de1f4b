package metrics

import (
	"errors"
	"fmt"
)

// RoundTrip says whether texts that were compressed came back as they were. No
// ratio of compression means anything without it.
type RoundTrip struct {
	Lossless Lossless `json:"lossless"`
	// Checked is the number of texts that were decoded again, Whole the number of
	// those that came back byte by byte.
	Checked int `json:"checked"`
	Whole   int `json:"whole"`
	// Reason says why it is unverified.
	Reason string `json:"reason,omitempty"`
}

// Lossless is the verdict of a [RoundTrip].
type Lossless string

// The verdicts. One text that did not come back makes it false.
const (
	LosslessTrue       Lossless = "true"
	LosslessFalse      Lossless = "false"
	LosslessUnverified Lossless = "unverified"
)

// NewRoundTrip judges by how many texts were decoded and how many came back. The
// reason is for when none was.
func NewRoundTrip(checked, whole int, reason string) *RoundTrip {
	r := &RoundTrip{Lossless: LosslessTrue, Checked: checked, Whole: whole}
	switch {
	case checked == 0:
		r.Lossless, r.Reason = LosslessUnverified, reason
		if r.Reason == "" {
			r.Reason = "no text was decoded"
		}
	case whole < checked:
		r.Lossless = LosslessFalse
	}
	return r
}

// String is the verdict with what is behind it.
func (r *RoundTrip) String() string {
	if r.Lossless == LosslessUnverified {
		return fmt.Sprintf("%s (%s)", r.Lossless, r.Reason)
	}
	return fmt.Sprintf("%s (%d of %d texts came back as they were)", r.Lossless, r.Whole, r.Checked)
}

// validate checks that the verdict follows from the numbers.
func (r *RoundTrip) validate() error {
	if r.Checked < 0 || r.Whole < 0 || r.Whole > r.Checked {
		return fmt.Errorf("%d of %d texts came back", r.Whole, r.Checked)
	}
	if want := NewRoundTrip(r.Checked, r.Whole, ""); r.Lossless != want.Lossless {
		return fmt.Errorf("lossless is %q where %d of %d texts came back", r.Lossless, r.Whole, r.Checked)
	}
	if r.Lossless == LosslessUnverified && r.Reason == "" {
		return errors.New("a round trip is unverified without a reason")
	}
	return nil
}
