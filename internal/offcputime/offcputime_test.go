package offcputime

import (
	"testing"
	"time"
)

func TestSum(t *testing.T) {
	const output = `    bpf_prog_6896d07dd3e1383c_sched_switch
    schedule
    -                sleeper (7)
        100

    schedule
    [unknown]
    -                a (b) c (8)
        2500

    schedule
    -                sleeper (9)
        500

`
	got, err := sum(output, 7)
	if err != nil || got != 3*time.Millisecond {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := sum("    -   sleeper (9)\n    schedule\n", 7); err == nil {
		t.Error("a stack was read as a time")
	}
}
