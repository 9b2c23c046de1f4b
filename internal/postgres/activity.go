package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Activity is how often PostgreSQL's own view, pg_stat_activity, showed the sessions of
// pgbench at work in each wait event: "LWLock:WALWrite", "Lock:transactionid" and so on, and
// "running" for those in none.
type Activity map[string]int

// activity asks in what the sessions of pgbench are. The fields of a line are
// divided by "|".
const activity = `SELECT coalesce(wait_event_type || ':' || wait_event, 'running'), count(*) FROM pg_stat_activity
 WHERE application_name = 'pgbench' AND state = 'active' GROUP BY 1;
`

// Watch asks for the activity every so often, in one session, until the context ends.
func (s *Server) Watch(ctx context.Context, every time.Duration) (Activity, error) {
	command := s.as("psql", "-h", s.folder, "-X", "-A", "-t", "-q", "postgres")
	psql := exec.Command(command[0], command[1:]...)
	in, err := psql.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("asking PostgreSQL what it does: %w", err)
	}
	var out strings.Builder
	psql.Stdout, psql.Stderr = &out, &out
	if err := psql.Start(); err != nil {
		return nil, fmt.Errorf("asking PostgreSQL what it does: %w", err)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for more := true; more && err == nil; {
		select {
		case <-ctx.Done():
			more = false
		case <-tick.C:
			_, err = io.WriteString(in, activity)
		}
	}
	if err = errors.Join(err, in.Close(), psql.Wait()); err != nil {
		return nil, fmt.Errorf("asking PostgreSQL what it does: %w\n%s", err, out.String())
	}
	return parseActivity(out.String())
}

func parseActivity(text string) (Activity, error) {
	sums := Activity{}
	for line := range strings.Lines(text) {
		event, count, _ := strings.Cut(strings.TrimSpace(line), "|")
		n, err := strconv.Atoi(count)
		if err != nil {
			return nil, fmt.Errorf("PostgreSQL says %q of what it does", line)
		}
		sums[event] += n
	}
	return sums, nil
}
