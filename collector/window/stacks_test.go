package window

import "testing"

func frames(addresses ...uint64) (stack []Frame) {
	for _, a := range addresses {
		stack = append(stack, Frame{Address: a})
	}
	return stack
}

// A stack that is named is kept, one that is not is forgotten after two generations, and
// what others share with it stays.
func TestStacks(t *testing.T) {
	s := NewStacks()
	s.Put(StackID{1}, Resolved{Frames: frames(1, 2, 3), Kernel: 1, Unwind: "why", State: "futex"})
	s.Put(StackID{2}, Resolved{Frames: frames(4, 2, 3)})
	for generation := range 5 {
		s.NextGeneration()
		if got, ok := s.Get(StackID{2}); !ok || len(got.Frames) != 3 || got.Frames[0].Address != 4 || got.Frames[2].Address != 3 {
			t.Fatalf("generation %d: %+v, %t", generation, got, ok)
		}
	}
	if _, ok := s.Get(StackID{1}); ok {
		t.Error("a stack that nobody named is still there")
	}
	if len(s.frames) != 3 {
		t.Errorf("%d frames are kept of one stack of three", len(s.frames))
	}
	s.Put(StackID{1}, Resolved{Frames: frames(1, 2, 3), Kernel: 1, Unwind: "why", State: "futex"})
	if got, ok := s.Get(StackID{1}); !ok || got.Kernel != 1 || got.Unwind != "why" || got.State != "futex" || got.Frames[1].Address != 2 {
		t.Errorf("%+v, %t", got, ok)
	}
	if _, ok := s.Get(StackID{}); ok {
		t.Error("there is a stack without a name")
	}
}

func TestStacksAreBounded(t *testing.T) {
	s := NewStacks()
	deep := make([]Frame, MaxStackFrames/2)
	for i := range uint64(4) {
		s.Put(StackID{i + 1}, Resolved{Frames: deep})
	}
	if s.Len() != 2 || s.Refused() != 2 {
		t.Errorf("%d stacks kept and %d refused, want 2 and 2", s.Len(), s.Refused())
	}
	for range 3 {
		s.NextGeneration()
	}
	if s.Put(StackID{9}, Resolved{Frames: deep}); s.Len() != 1 {
		t.Error("forgotten stacks leave no room")
	}
}
