package window

// StackID names a stack that was sent before. The zero value names none.
type StackID [2]uint64

// Stacks keeps stacks that later events name. What is not named for two generations is
// forgotten. It is used by one goroutine.
type Stacks struct {
	stacks     map[StackID]*kept
	numbers    map[Frame]uint32
	frames     []Frame // by number
	stored     int
	generation int
	refused    uint64
	last       []Frame
}

type kept struct {
	frames []uint32
	kernel int // how many of them are the kernel's
	unwind string
	state  string
	used   int // the generation in which it was named last
}

// Resolved is a stack as it was kept: the kernel's frames, then the user's, the leaf first,
// and why it does not reach the root, if so.
type Resolved struct {
	Frames []Frame
	Kernel int
	Unwind string
	// State is what a thread waits for that is on this stack.
	State string
}

// MaxStackFrames is how many frames Stacks keeps of all stacks together, 4 bytes each.
const MaxStackFrames = 4 << 20

// NewStacks keeps no stack yet.
func NewStacks() *Stacks {
	return &Stacks{stacks: map[StackID]*kept{}, numbers: map[Frame]uint32{}}
}

// Put keeps a stack. It is copied. One for which there is no room is not kept.
func (s *Stacks) Put(id StackID, stack Resolved) {
	if known := s.stacks[id]; known != nil {
		known.used = s.generation
		return
	}
	if s.stored+len(stack.Frames) > MaxStackFrames {
		s.refused++
		return
	}
	k := &kept{frames: make([]uint32, len(stack.Frames)), kernel: stack.Kernel, unwind: stack.Unwind, state: stack.State, used: s.generation}
	for i, f := range stack.Frames {
		k.frames[i] = s.number(f)
	}
	s.stored += len(k.frames)
	s.stacks[id] = k
}

func (s *Stacks) number(f Frame) uint32 {
	n, ok := s.numbers[f]
	if !ok {
		n = uint32(len(s.frames))
		s.numbers[f] = n
		s.frames = append(s.frames, f)
	}
	return n
}

// Get returns a stack. It is valid until the next call.
func (s *Stacks) Get(id StackID) (Resolved, bool) {
	k := s.stacks[id]
	if k == nil {
		return Resolved{}, false
	}
	k.used = s.generation
	s.last = s.last[:0]
	for _, n := range k.frames {
		s.last = append(s.last, s.frames[n])
	}
	return Resolved{Frames: s.last, Kernel: k.kernel, Unwind: k.unwind, State: k.state}, true
}

// NextGeneration forgets the stacks that were not named in this generation nor in the one
// before, and begins the next.
func (s *Stacks) NextGeneration() {
	for id, k := range s.stacks {
		if k.used < s.generation-1 {
			s.stored -= len(k.frames)
			delete(s.stacks, id)
		}
	}
	s.generation++
	s.renumber()
}

// renumber drops the frames that no stack has any more.
func (s *Stacks) renumber() {
	old := s.frames
	s.frames, s.numbers = nil, make(map[Frame]uint32, len(s.numbers))
	for _, k := range s.stacks {
		for i, n := range k.frames {
			k.frames[i] = s.number(old[n])
		}
	}
}

// Len is the number of stacks kept.
func (s *Stacks) Len() int { return len(s.stacks) }

// Refused is how many stacks were not kept for want of room.
func (s *Stacks) Refused() uint64 { return s.refused }
