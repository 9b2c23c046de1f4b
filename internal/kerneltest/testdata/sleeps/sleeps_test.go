// Package sleeps has a test that never ends, which -test.timeout must end.
package sleeps

import "testing"

func TestSleeps(t *testing.T) { <-make(chan int) }
