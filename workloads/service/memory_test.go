package service

import (
	"os"
	"slices"
	"testing"
)

func TestMemoryOfATree(t *testing.T) {
	command := as(t, "hoarder")
	process, err := Start(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	watch, err := WatchMemory(process.PID)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := watch.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if alone < 64<<20 || alone > 256<<20 {
		t.Errorf("peak %d MiB of a process that touched 64 MiB", alone>>20)
	}
	// Seen from its parent, this test, the hoarder is a part of the tree.
	tree, err := WatchMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, lists := range []bool{tree.listsChildren, false} {
		tree.listsChildren = lists
		found, err := tree.tree()
		if err != nil || !slices.Contains(found, process.PID) || !slices.Contains(found, os.Getpid()) || slices.Contains(found, os.Getppid()) {
			t.Errorf("by lists of children %v: the tree is %v, %v", lists, found, err)
		}
	}
	if whole, err := tree.Stop(); err != nil || whole <= alone {
		t.Errorf("the tree's peak %d (%v), the child's %d", whole, err, alone)
	}
	gone, err := WatchMemory(process.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Stop(); err != nil {
		t.Fatal(err)
	}
	if peak, err := gone.Stop(); err == nil {
		t.Errorf("peak %d of a process that ended in between", peak)
	}
	if _, err := WatchMemory(process.PID); err == nil {
		t.Error("a process that is gone can be watched")
	}
}
