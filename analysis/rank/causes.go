package rank

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
)

// facts is what causes are told by.
type facts struct {
	entry *Entry
	state string
	queue float64 // waiters on average, where they are a convoy; else 0
	// asked is the part of the CPUs' time that the service used or was ready to use, all
	// what everybody used.
	asked, all *float64
}

// causes are tried in order; the first whose evidence is there counts.
var causes = []struct {
	name    string
	is      func(facts) bool
	because func(facts) string
}{
	{
		"too few CPUs", func(f facts) bool { return f.state == runnable && (f.all == nil || *f.all >= allCPUs) },
		func(f facts) string {
			return "threads could run and waited for a CPU" + used(f.all, "was used by everybody")
		},
	}, {
		"slow to get a CPU", func(f facts) bool { return f.state == runnable },
		func(f facts) string {
			return "threads could run and waited for a CPU" + used(f.all, "was used by everybody: bursts, a limit of the group's CPU time, or the host below")
		},
	}, {
		"page faults", func(f facts) bool { return f.state == "fault" },
		func(facts) string { return "the wait is inside a page fault" },
	}, {
		"disk", func(f facts) bool { return f.state == "io" },
		func(facts) string { return "the kernel waits for a device or its file system" },
	}, {
		"sleeps", func(f facts) bool { return f.state == "sleep" },
		func(facts) string { return "it asks to be woken after a time" },
	}, {
		"waits for another process", func(f facts) bool { return f.state == "pipe" },
		func(facts) string { return "the other end of a pipe" },
	}, {
		"lock held across I/O", func(f facts) bool {
			return f.lock() && f.held("io") >= 0.25 && f.held("io") >= f.held("running") // however long they then waited for a CPU
		},
		func(f facts) string { return f.did() },
	}, {
		"logging under a lock", func(f facts) bool { return f.lock() && f.logging() != "" },
		func(f facts) string { return f.logging() + " is called as what writes a log" },
	}, {
		"convoy", func(f facts) bool { return f.lock() && f.queue > 0 },
		func(f facts) string {
			return fmt.Sprintf("%.1f threads queue on average while it is held, and take turns", f.queue)
		},
	}, {
		"lock held while on CPU", func(f facts) bool { return f.lock() && f.mostly("running") },
		func(f facts) string { return f.did() },
	}, {
		"lock held without a CPU", func(f facts) bool { return f.lock() && f.mostly(runnable) },
		func(f facts) string { return f.did() },
	}, {
		"queue: too few workers", func(f facts) bool { return queueKinds[f.entry.What] && f.asked != nil && *f.asked < allCPUs },
		func(f facts) string {
			return "it waits for somebody to take or give work" + used(f.asked, "is what the service used or was ready to use")
		},
	}, {
		"waits for other work", func(f facts) bool { return queueKinds[f.entry.What] },
		func(facts) string {
			return "it waits for somebody to take or give work; how busy the CPUs were is unknown"
		},
	},
}

// explain names the cause of a wait.
func explain(f facts) (cause, because string) {
	for _, c := range causes {
		if c.is(f) {
			return c.name, c.because(f)
		}
	}
	return "contention", "others have the lock; no rule tells what they do with it"
}

// lock tells whether somebody holds what is waited for.
func (f facts) lock() bool { return f.entry.Signal == Lock && !queueKinds[f.entry.What] }

func (f facts) held(state string) float64 {
	for _, p := range f.entry.Held {
		if p.What == state {
			return p.Share
		}
	}
	return 0
}

// mostly tells whether holders did nothing more than this. Parts are in the order of their
// size.
func (f facts) mostly(state string) bool {
	return len(f.entry.Held) > 0 && f.entry.Held[0].What == state
}

// did lists what holders did.
func (f facts) did() string {
	var list []string
	for _, p := range f.entry.Held {
		list = append(list, fmt.Sprintf("%.0f %% %s", 100*p.Share, cmp.Or(doings[p.What], "in the state "+p.What)))
	}
	return strings.Join(list, ", ") + ", of " + f.entry.HeldBasis
}

var doings = map[string]string{
	"running": "on a CPU", runnable: "waiting for a CPU", "io": "waiting for a disk", "fault": "in page faults", "sleep": "asleep",
	"futex": "waiting for another lock", "lock": "waiting for a lock of the kernel", "socket": "waiting for a connection", "pipe": "waiting for a pipe",
}

func used(part *float64, by string) string {
	if part == nil {
		return ""
	}
	return fmt.Sprintf("; %.0f %% of the CPUs' time %s", 100**part, by)
}

// logging is the function that writes a log: the one that lets go or waits, by a word of its
// name.
func (f facts) logging() string {
	names := []string{f.entry.Function}
	if len(f.entry.Holders) > 0 {
		names = append(names, f.entry.Holders[0].What)
	}
	for _, name := range names {
		// The folders of a package's path say nothing of the function.
		for _, word := range words(name[strings.LastIndexByte(name, '/')+1:]) {
			if logs[word] {
				return name
			}
		}
	}
	return ""
}

var logs = map[string]bool{"log": true, "logger": true, "logging": true, "slog": true, "spdlog": true, "glog": true, "zap": true, "zerolog": true, "logrus": true, "syslog": true, "printf": true, "fprintf": true}

// words splits a name where its letters change from small to large, and at what is no
// letter; in small letters.
func words(name string) []string {
	var list []string
	begun, small := 0, false
	flush := func(end int) {
		if end > begun {
			list = append(list, strings.ToLower(name[begun:end]))
		}
		begun = end
	}
	for i, r := range name {
		switch {
		case !unicode.IsLetter(r):
			flush(i)
			begun = i + len(string(r))
			small = false
			continue
		case unicode.IsUpper(r) && small:
			flush(i)
		}
		small = unicode.IsLower(r)
	}
	flush(len(name))
	return list
}
