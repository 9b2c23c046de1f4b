package report

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/narrows-profiler/narrows/analysis/waits"
)

// chains prints what the longest waits lead to.
func (t *terminal) chains(d *waits.Document) {
	if len(d.Chains) == 0 {
		return
	}
	t.line("What the longest waits lead to, each step the largest part of the one before")
	for _, c := range d.Chains[:min(shownChains, len(d.Chains))] {
		for i, h := range c.Hops {
			text := fmt.Sprintf("%s waits for %s", roleName(h.Waiter), waitedFor(h))
			if i == 0 {
				t.hanging("  ", padLeft(cpuTime(c.NS), 8)+"  ", text)
			} else {
				t.hanging("  ", padLeft(percent(h.Share), 8)+"  ", text)
			}
		}
		t.hanging("  ", padLeft(percent(c.End.Share), 8)+"  ", ending(c))
	}
	t.line("")
}

// waitedFor says what one step of a chain waits for.
func waitedFor(h waits.Hop) string {
	holder := "an unknown thread"
	if h.Holder != nil {
		holder = roleName(*h.Holder)
	}
	if h.Lock != nil {
		return fmt.Sprintf("%s, held by %s", *h.Lock, holder)
	}
	by := map[string]string{"socket": "by a socket", "pipe": "by a pipe", "futex": "by a futex", "poll": "by poll", "lock": "for a lock of the kernel"}[h.State]
	return strings.TrimSpace(holder + " " + by)
}

// ending says where a chain ends.
func ending(c waits.Chain) string {
	last := c.Hops[len(c.Hops)-1]
	who := "it"
	if last.Holder != nil {
		who = "that " + path.Base(roleName(*last.Holder))
	}
	is := ""
	if c.End.State != nil {
		is = who + " " + did(c.End)
	}
	switch c.End.Reason {
	case waits.NoWait:
		return is
	case waits.Cycle:
		return "back where the chain has been"
	case waits.SmallShare:
		return "the rest is below 5 %"
	}
	if is == "" {
		return "what that waits for is unknown"
	}
	return is + "; for whom is unknown"
}

// did says what the last one of a chain did: where in its program, and what there.
func did(e waits.End) string {
	const shown, least = 3, 0.01
	if isRemark(value(e.Function)) {
		return strings.TrimPrefix(doing(*e.State, value(e.Function), ""), "holder ")
	}
	if len(e.Did) < 2 {
		return "is " + doing(*e.State, value(e.Function), value(e.Caller))
	}
	var list []string
	for _, d := range e.Did[:min(shown, len(e.Did))] {
		if d.Share >= least {
			list = append(list, fmt.Sprintf("%s %s", percent(d.Share), doing(d.State, d.Function, "")))
		}
	}
	where := brief(cmp.Or(value(e.Caller), value(e.Function)))
	return fmt.Sprintf("is in %s: %s", where, strings.Join(list, ", "))
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
