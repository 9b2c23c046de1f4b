package calibration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
	"github.com/narrows-profiler/narrows/collector"
)

// frequency of the samples: high, so that a few seconds hold thousands, and no
// multiple of what a machine does by the millisecond.
const frequency = 997

// CPU records the program whose command line is given, which has to be Split, and says
// how far what was seen of it is from what it says of itself.
func CPU(ctx context.Context, split []string) ([]session.Check, error) {
	var sink tally
	rec, err := recording.Start(context.WithoutCancel(ctx), collector.Config{Frequency: frequency, Window: time.Minute}, &sink)
	if err != nil {
		return nil, fmt.Errorf("calibrating: %w", err)
	}
	truth, err := run(ctx, split, rec)
	summary, stopErr := rec.Stop()
	if err = errors.Join(err, stopErr); err != nil {
		return nil, fmt.Errorf("calibrating: %w", err)
	}
	return judge(truth, sink.seen, summary)
}

// tally is where the windows of a calibration go.
type tally struct{ seen seen }

// Window counts the samples of a window.
func (t *tally) Window(_ context.Context, w collector.Window) error {
	t.seen.add(w.Profiles[collector.CPU])
	return nil
}

// run starts the program, selects it for the recording, and waits for its end.
func run(ctx context.Context, split []string, rec *recording.Recording) (Truth, error) {
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, split[0], split[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &complaints
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process to see
	before := collector.Now()                             // its first instruction counts
	if err := cmd.Start(); err != nil {
		return Truth{}, fmt.Errorf("starting a program of known truth: %w", err)
	}
	rec.Collector().Select(cmd.Process.Pid, before)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Truth{}, fmt.Errorf("running a program of known truth: %w: %.200s", err, complaints.String())
	}
	var truth Truth
	if err := json.Unmarshal(out.Bytes(), &truth); err != nil {
		return Truth{}, fmt.Errorf("reading what a program knows of itself: %w", err)
	}
	return truth, nil
}
