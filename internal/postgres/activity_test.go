package postgres

import (
	"maps"
	"testing"
)

func TestParseActivity(t *testing.T) {
	got, err := parseActivity("LWLock:WALWrite|3\nrunning|1\nLWLock:WALWrite|4\n")
	if want := (Activity{"LWLock:WALWrite": 7, "running": 1}); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := parseActivity("ERROR:  no such column\n"); err == nil {
		t.Errorf("an error was taken for %v", got)
	}
}
