package costs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/narrows-profiler/narrows/internal/postgres"
)

// switchingRounds is how many pairs of each program that waits are run: fewer than of the
// target, since a recording is begun for each.
const switchingRounds = 6

// switching is a program that does little but wait, and says how fast that went.
type switching struct {
	name    string
	command []string
	// result finds a number in what it prints; perSecond tells that more is better.
	result    *regexp.Regexp
	perSecond bool
	unit      string // of the number, if it says something by itself
}

// perfBenches are the benchmarks that perf brings. One of them switches between two threads
// of one CPU all the time, so that its time is the switches'.
var perfBenches = []switching{
	{"two threads that switch all the time (perf bench sched pipe on one CPU)",
		[]string{"taskset", "-c", "0", "perf", "bench", "sched", "pipe", "-l", "200000"}, regexp.MustCompile(`([0-9.]+) usecs/op`), false, "us"},
	{"400 processes that send messages (perf bench sched messaging)",
		[]string{"perf", "bench", "sched", "messaging", "-l", "300"}, regexp.MustCompile(`Total time: ([0-9.]+)`), false, ""},
	{"futex calls that do not wait (perf bench futex hash)",
		[]string{"perf", "bench", "futex", "hash", "-s", "-r", "1"}, regexp.MustCompile(`Averaged ([0-9]+) operations/sec`), true, ""},
	{"threads that wake each other (perf bench futex wake)",
		[]string{"perf", "bench", "futex", "wake", "-s", "-t", "64"}, regexp.MustCompile(`in ([0-9.]+) ms`), false, ""},
}

// waits measures how recording with everything on slows down what waits most.
func (b *bench) waits(ctx context.Context) error {
	programs := perfBenches
	database, err := postgres.Start(ctx)
	if err != nil {
		b.table.skip("slowdown of pgbench", err)
	} else {
		programs = append(programs[:len(programs):len(programs)], switching{"transactions on a hot table (pgbench, 8 clients)",
			database.Bench("-c", "8", "-j", "2", "-T", "3", "-n"), regexp.MustCompile(`tps = ([0-9.]+)`), true, ""})
	}
	for _, program := range programs {
		if err := b.waitsOf(ctx, program); err != nil {
			return errors.Join(err, database.Stop())
		}
	}
	return database.Stop()
}

func (b *bench) waitsOf(ctx context.Context, program switching) error {
	name := "slowdown of " + program.name + " by " + b.narrows(usualFrequency).Name()
	if _, err := exec.LookPath(program.command[0]); err != nil {
		b.table.skip(name, err)
		return nil
	}
	series, err := Series(ctx, []Condition{b.narrows(usualFrequency)}, switchingRounds, program.run)
	if err != nil {
		return err
	}
	b.table.add(name, "%", Slowdown(series[0], func(w Work) float64 { return w.Wall }))
	if program.unit != "" {
		var bare []float64
		for _, pair := range series[0] {
			bare = append(bare, pair.Without.Wall)
		}
		b.table.add("an operation of "+program.name+", without", program.unit, Median(bare))
	}
	return nil
}

// run runs the program once; its time is the time of one operation, in the unit in which
// the program counts.
func (s switching) run(ctx context.Context) (Work, error) {
	out, err := exec.CommandContext(ctx, s.command[0], s.command[1:]...).CombinedOutput()
	if err != nil {
		return Work{}, fmt.Errorf("running %s: %w\n%s", s.name, err, out)
	}
	found := s.result.FindSubmatch(out)
	if found == nil {
		return Work{}, fmt.Errorf("%s says nothing of its speed:\n%s", s.name, out)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || value <= 0 {
		return Work{}, fmt.Errorf("%s says that its speed is %s", s.name, found[1])
	}
	if s.perSecond {
		value = 1 / value
	}
	return Work{Wall: value, CPU: value}, nil
}
