// Package fails has a failing test between passing ones, which the harness must show.
package fails

import (
	"fmt"
	"testing"
)

func TestBefore(t *testing.T) {}

func TestFails(t *testing.T) {
	fmt.Println("--- PASS: TestFails (0.00s)")
	t.Error("the reason for failing")
}

func TestAfter(t *testing.T) {}
