// Package probesite chooses the byte of a function that a uprobe is put on.
//
// What a uprobe costs depends on the instruction under it. The kernel emulates a few (pushes,
// jumps, one-byte nops); all others run out of line, single-stepped, which costs a second
// trap and 15 us on a virtual machine. Most functions begin with one of the others, so
// [Choose] decodes a function's first instructions and takes the cheapest one at which the
// arguments are still in their registers: for free of glibc 2.36 free+9, for a Go function
// with a stack check the push behind it.
//
// Some bytes must not be probed. A 5-byte nop inside a function is replaced by a call on
// Linux 6.18, whose return address is written where the function may keep values without
// having moved the stack pointer: the red zone. What other code jumps to is reached more
// often, or less often, than the function is called. Choose refuses those, and says why if
// nothing is left.
package probesite

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Price is the class of what a probe costs.
type Price int

// The classes, cheapest first.
const (
	// Emulated instructions are carried out by the kernel in the trap itself.
	Emulated Price = iota + 1
	// Nop5 is a 5-byte nop: a call without a trap where the kernel puts one in its place
	// (6.18), stepped like others before.
	Nop5
	// Stepped instructions run out of line with the processor's single-step flag.
	Stepped
)

// String names the class.
func (p Price) String() string {
	return [...]string{"unknown", "emulated", "5-byte nop", "single-stepped"}[max(0, min(int(p), 3))]
}

// Predicted is what one hit costs the probed thread without what the program does, as
// measured on a virtual machine with Linux 6.18. A host's own processor steps faster.
func (p Price) Predicted() time.Duration {
	switch p {
	case Emulated:
		return 450 * time.Nanosecond
	case Nop5: // on a kernel that has no trampolines for it
		return 16 * time.Microsecond
	}
	return 16 * time.Microsecond
}

// Site is where to put a probe.
type Site struct {
	Offset      int // from the function's entry
	Price       Price
	Instruction string
	// AfterBranch tells that some calls end before they come here, as free(NULL) does.
	AfterBranch bool
	// Repeats tells that a call may come here twice: a Go function whose stack has to grow
	// begins again.
	Repeats bool
}

// String describes the site.
func (s Site) String() string { return fmt.Sprintf("+%#x %s (%v)", s.Offset, s.Instruction, s.Price) }

// Function is the code to look at.
type Function struct {
	// Code is all of the function, so that jumps back to its beginning are seen.
	Code []byte
	// Keep are the registers that must be as the caller left them, by the names that the
	// architecture's manual has: "rax", "x0".
	Keep []string
	// EveryCall refuses sites that some calls end before.
	EveryCall bool
}

// ErrNoSite says that a function has no byte that can be probed.
var ErrNoSite = errors.New("no place for a probe")

// ErrArchitecture says that the code is for a processor that Choose cannot decode.
var ErrArchitecture = errors.New("unknown architecture")

// Choose decodes the function and returns the best site. architecture is as in GOARCH.
func Choose(architecture string, f Function) (Site, error) {
	var decoded prologue
	switch architecture {
	case "amd64":
		decoded = decodeX86(f)
	case "arm64":
		decoded = decodeARM64(f)
	default:
		return Site{}, fmt.Errorf("%s: %w", architecture, ErrArchitecture)
	}
	var refused []string
	var sites []Site
	for _, c := range decoded.candidates {
		if reason := decoded.refuse(c, f.EveryCall); reason != "" {
			refused = append(refused, fmt.Sprintf("%v: %s", c.Site, reason))
			continue
		}
		sites = append(sites, c.Site)
	}
	if len(sites) == 0 {
		return Site{}, fmt.Errorf("%w (%s)", ErrNoSite, strings.Join(append(refused, decoded.end), "; "))
	}
	return slices.MinFunc(sites, func(a, b Site) int {
		return cmp.Or(cmp.Compare(a.Price, b.Price), compare(a.Repeats, b.Repeats), compare(a.AfterBranch, b.AfterBranch), cmp.Compare(a.Offset, b.Offset))
	}), nil
}

func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// prologue is the straight-line beginning of a function, and what jumps into it.
type prologue struct {
	candidates []candidate
	end        string // why there are no more candidates
	targets    []int  // offsets that code of the function itself jumps to
	undecoded  bool   // some of the code could not be decoded: it may jump anywhere
}

// candidate is an instruction at which the registers to keep are still what they were.
type candidate struct {
	Site
	// inside tells that the function may have written below the stack pointer already.
	inside bool
}

// refuse says why a candidate must not be probed; "" if it may be.
func (p prologue) refuse(c candidate, everyCall bool) string {
	if c.Price == Nop5 && c.inside {
		return "a 5-byte nop inside a function: the kernel's call would overwrite its red zone"
	}
	if everyCall && c.AfterBranch {
		return "some calls end before it"
	}
	if c.Offset > 0 && p.undecoded {
		return "some of the function cannot be decoded, and may jump there"
	}
	for _, target := range p.targets {
		if target > 0 && target <= c.Offset {
			return fmt.Sprintf("+%#x is jumped to", target)
		}
	}
	return ""
}

// repeatUntil notes that a call passes the candidates up to this offset twice where its
// stack has to grow; -1 where it has no stack check.
func (p *prologue) repeatUntil(check int) {
	for i := range p.candidates {
		p.candidates[i].Repeats = p.candidates[i].Offset <= check
	}
}
