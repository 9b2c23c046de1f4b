package rank

import (
	"fmt"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// rules is the table of the package's text.
func rules() []Rule {
	return []Rule{
		{ShareAtLeast: 0.20, Missed: Critical, Undecided: High, Met: Medium},
		{ShareAtLeast: 0.05, Missed: High, Undecided: Medium, Met: Low},
		{ShareAtLeast: 0, Missed: Medium, Undecided: Low, Met: Low},
	}
}

// prioritise applies the rules to the lower end of a share's interval.
func prioritise(low float64, verdict metrics.Verdict) (Priority, string) {
	bound := 1.0
	for _, rule := range rules() {
		if low < rule.ShareAtLeast {
			bound = rule.ShareAtLeast
			continue
		}
		size := fmt.Sprintf("its share is at least %.0f %%", 100*rule.ShareAtLeast)
		if rule.ShareAtLeast == 0 {
			size = fmt.Sprintf("its share may be below %.0f %%", 100*bound)
		}
		switch verdict {
		case metrics.Missed:
			return rule.Missed, size + " and the benchmark misses a target"
		case metrics.Met:
			return rule.Met, size + " and the benchmark meets its targets"
		default:
			return rule.Undecided, size + " and no target is decided"
		}
	}
	return Low, "its share is unknown"
}

// urgency orders priorities, most urgent first.
func urgency(p Priority) int {
	return slices.Index([]Priority{Critical, High, Medium, Low}, p)
}

// judge returns what a benchmark's targets say about its speed.
func judge(document *metrics.Document) (metrics.Verdict, string) {
	if document == nil {
		return metrics.Undecided, "no metrics were recorded"
	}
	if document.Status != metrics.Complete {
		reason := fmt.Sprintf("the benchmark's status is %s", document.Status)
		if document.StatusReason != "" {
			reason += ": " + document.StatusReason
		}
		return metrics.Undecided, reason
	}
	byVerdict := map[metrics.Verdict][]string{}
	for _, target := range document.Targets {
		if timed(target.Unit) {
			text := fmt.Sprintf("%s %s %v %s", target.Metric, target.Comparison, target.Value, target.Unit)
			byVerdict[target.Verdict] = append(byVerdict[target.Verdict], text)
		}
	}
	for _, verdict := range []metrics.Verdict{metrics.Missed, metrics.Undecided} {
		if targets := byVerdict[verdict]; len(targets) > 0 {
			return verdict, fmt.Sprintf("%s: %s", verdict, strings.Join(targets, ", "))
		}
	}
	if targets := byVerdict[metrics.Met]; len(targets) > 0 {
		return metrics.Met, "met: " + strings.Join(targets, ", ")
	}
	return metrics.Undecided, "the benchmark has no target of time or rate"
}

// timed says whether a unit is one of time or of a rate, which CPU time bears
// on; a ratio or a size is not.
func timed(unit string) bool {
	return slices.Contains([]string{"ns", "us", "µs", "ms", "s"}, unit) || strings.HasSuffix(unit, "/s")
}
