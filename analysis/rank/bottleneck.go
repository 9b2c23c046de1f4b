package rank

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	maxCallers = 3
	maxStacks  = 2
	// maxStackFunctions bounds the functions that are listed of one stack.
	maxStackFunctions = 64
)

// bottleneck describes one place of a group.
func (t *Tally) bottleneck(key groupKey, id uint32, m Measured, o Options) Bottleneck {
	g := t.groups[key]
	p := g.places[id]
	at := hottest(p.lines)
	b := Bottleneck{
		Title:     title(t.frames[id], key),
		Benchmark: key.benchmark, Service: key.service, Function: t.frames[id].function, Binary: t.frames[id].binary,
		File: at.file, Line: at.line,
		SelfNS: p.self.ns, Samples: p.self.samples, Share: ratio(p.self.ns, g.total.ns),
		Interval:      shareInterval(g, p, o.Confidence),
		RecordedShare: ratio(p.self.ns, m.RecordedNS),
		TotalNS:       g.inclusive[id],
		Callers:       t.callers(p), Phases: phases(g, p), Stacks: t.stacks(p),
		Evidence: command(o.Profile, key, t.frames[id]),
		AlsoIn:   []Elsewhere{},
		Unavailable: map[string]string{
			"effort_days": "effort is declared by people, and none was declared",
			"roi":         "the time saved in the metric's unit needs each request's own CPU time, and ROI needs the effort",
			"risk":        "risk is declared by people, and none was declared",
		},
	}
	if m.WallSeconds != nil {
		of := share(b.SelfNS, *m.WallSeconds)
		b.TimeShare = &of
	} else {
		b.Unavailable["time_share"] = "it was not recorded how long the benchmark ran"
	}
	b.Payoff = payoff(b.Share, denominator(key))
	b.Priority, b.PriorityReason = prioritise(b.Interval.Low, m.Verdict)
	return b
}

func title(f frame, key groupKey) string {
	text := f.function
	if f.binary != "" {
		text += " in " + path.Base(f.binary)
	}
	if key.service != "" {
		text += " (" + key.service + ")"
	}
	return text
}

// hottest returns the line with most time.
func hottest(lines map[position]int64) position {
	return slices.MaxFunc(slices.Collect(maps.Keys(lines)), func(a, b position) int {
		return cmp.Or(cmp.Compare(lines[a], lines[b]), strings.Compare(b.file, a.file), cmp.Compare(b.line, a.line))
	})
}

// callers splits a place's own time by the function that called it, every sample
// counted once; see callerOf.
func (t *Tally) callers(p *place) []Caller {
	callers := []Caller{}
	for id, w := range p.callers {
		callers = append(callers, Caller{Function: t.frames[id].function, Share: ratio(w.ns, p.self.ns), Samples: w.samples})
	}
	slices.SortFunc(callers, func(a, b Caller) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(b.Samples, a.Samples), strings.Compare(a.Function, b.Function))
	})
	return callers[:min(maxCallers, len(callers))]
}

// stacks returns a place's most frequent stacks.
func (t *Tally) stacks(p *place) []Stack {
	stacks := []Stack{}
	for _, h := range p.heavy {
		s := Stack{Share: ratio(h.ns, p.self.ns), Samples: h.samples}
		for _, id := range h.frames {
			s.Functions = append(s.Functions, t.frames[id].function)
		}
		stacks = append(stacks, s)
	}
	return stacks
}

// phases splits a place's own time by phase, in the order of their names.
func phases(g *group, p *place) []Phase {
	list := []Phase{}
	for _, phase := range slices.Sorted(maps.Keys(p.phases)) {
		w := p.phases[phase]
		list = append(list, Phase{Phase: phase, SelfNS: w.ns, Samples: w.samples, Share: ratio(w.ns, g.phases[phase].ns)})
	}
	return list
}

// command is a shell command that shows a function of a group with its callers
// and callees.
func command(file string, key groupKey, f frame) string {
	var tags []string
	for _, tag := range []struct{ key, value string }{{"benchmark", key.benchmark}, {"service", key.service}} {
		if tag.value != "" {
			tags = append(tags, "^"+tag.key+":"+pattern(tag.value)+"$")
		}
	}
	line := "go tool pprof -symbolize=none -sample_index=cpu -relative_percentages"
	if len(tags) > 0 {
		// Without "key=" before them, all patterns of the list must match.
		line += " -tagfocus=" + quote(strings.Join(tags, ","))
	}
	name := pattern(f.function)
	if f.function == unnamed(f.binary) {
		name = `\[` + pattern(path.Base(f.binary)) + `\+0x[0-9a-f]+\]`
	}
	return fmt.Sprintf("%s -peek=%s %s", line, quote("^"+name+"$"), quote(file))
}

// special are the characters that pprof gives a meaning of its own in
// -tagfocus, and those that do not survive in a line of a terminal.
var special = regexp.MustCompile(`[,=\x00-\x1f\x7f]`)

// pattern is a regular expression that matches text.
func pattern(text string) string {
	return special.ReplaceAllString(regexp.QuoteMeta(text), ".")
}

// plain needs no quotes in a POSIX shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:%+-]+$`)

// quote makes a word of a POSIX shell command.
func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
