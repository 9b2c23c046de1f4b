package inbox

import "testing"

func TestInbox(t *testing.T) {
	i := New[int](2)
	for n := range 5 {
		i.Put(n)
	}
	if first, second := <-i.Requests(), <-i.Requests(); first != 0 || second != 1 || i.Dropped() != 3 {
		t.Errorf("%d and %d are taken, %d were dropped", first, second, i.Dropped())
	}
	if i.Put(7); <-i.Requests() != 7 || i.Dropped() != 3 {
		t.Errorf("there is no room again, %d were dropped", i.Dropped())
	}
}
