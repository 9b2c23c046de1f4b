package costs

import (
	"context"
	"errors"
	"fmt"

	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
)

// unwinding is what the walker in the kernel goes by, for processes that run already.
type unwinding struct {
	binaries *process.Binaries
	tables   *unwind.Tables
	tracker  *unwind.Tracker
}

func openUnwinding(shared *core.Core) (*unwinding, error) {
	u := &unwinding{binaries: process.NewBinaries()}
	scanned, _, err := process.Scan(u.binaries)
	if err != nil {
		return nil, errors.Join(err, u.close())
	}
	if u.tables, err = unwind.NewTables(shared); err != nil {
		return nil, errors.Join(err, u.close())
	}
	if u.tracker, err = unwind.NewTracker(shared, u.tables, scanned, nil); err != nil {
		return nil, errors.Join(err, u.close())
	}
	return u, nil
}

func (u *unwinding) close() error {
	var failures []error
	if u.tracker != nil {
		failures = append(failures, u.tracker.Close())
	}
	if u.tables != nil {
		failures = append(failures, u.tables.Close())
	}
	return errors.Join(append(failures, u.binaries.Close())...)
}

// missed has what a walk lacked made ready for the next one.
func (u *unwinding) missed(s unwind.Walked) {
	u.tracker.Missing(s)
	if u.tracker.Waits() {
		u.tracker.Apply(u.tracker.Begin(), nil)
	}
}

// foreign are programs that nobody here compiled, at work until they are killed.
var foreign = []struct{ name, tool, script string }{
	{"CPython", "/usr/bin/python3", `exec "$0" -c '
import json, re
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
while True:
    fib(15)
    text = json.dumps({str(i): [i, str(i) * 3] for i in range(500)})
    re.findall(r"(\d+)+", text[:2000]); json.loads(text)'`},
	{"clang", "clang++-19", `while :; do printf '#include <map>\n#include <regex>\n#include <string>\nstd::map<std::string, std::regex> m;\nint main() { m["a"] = std::regex("b*"); }' |
"$0" -std=c++17 -O2 -xc++ -c -o /dev/null -; done`},
	{"the Go compiler", "go", `while :; do "$0" build -a -o /dev/null std; done`},
}

// foreignPrograms measures what a sample of real programs takes, on all CPUs at once:
// their tables are large, and the stacks as deep as theirs are.
func (b *bench) foreignPrograms(ctx context.Context) error {
	for _, f := range foreign {
		what := fmt.Sprintf("eBPF program, one sample of %s, at %d Hz", f.name, usualFrequency)
		busy, err := startShells(ctx, f.tool, f.script, len(b.target.cpus))
		if err != nil {
			b.table.skip(what, err)
			continue
		}
		var costs []float64
		for range recordings {
			r, err := b.narrows(usualFrequency).recordFor(ctx, recordingDuration/2)
			if err != nil {
				return errors.Join(err, busy.stop())
			}
			costs = append(costs, r.cost.EBPFRunSeconds/float64(r.cost.EBPFRuns)*1e9)
		}
		if err := busy.stop(); err != nil {
			return err
		}
		b.table.add(what, "ns", Median(costs))
	}
	return nil
}
