package unwind

// An End says why a walk ended. The numbers below EndShortSnapshot are those of
// enum unwind_end in bpf.
type End uint16

const (
	// EndComplete: the root was reached.
	EndComplete End = 0
	// EndNoRegisters: a register was needed that is not known.
	EndNoRegisters End = 2
	// EndUnreadable: memory below the snapshot, or beyond any, was needed.
	EndUnreadable End = 3
	// EndBadFramePointer: a frame pointer is not aligned.
	EndBadFramePointer End = 4
	// EndNotAscending: the stack was switched more often than programs do.
	EndNotAscending End = 5
	// EndTooDeep: there are more than MaxFrames frames.
	EndTooDeep End = 6
	// EndBadAddress: a return address is none that code can have.
	EndBadAddress End = 8
	// EndNoRule: a rule needs a register that is known in the leaf only.
	EndNoRule End = 9
	// EndNoMapping: nothing is known to be mapped at an address.
	EndNoMapping End = 11
	// EndNoTable: an address lies in a file whose table is not at hand.
	EndNoTable End = 12
	// EndShortSnapshot: the stack goes on behind the end of its copy.
	EndShortSnapshot End = 256
)

// MaxFrames is how many frames a walk takes at most.
const MaxFrames = 1024

func (e End) String() string {
	switch e {
	case EndComplete:
		return "complete"
	case EndNoRegisters:
		return "a register is not known"
	case EndUnreadable:
		return "memory cannot be read"
	case EndBadFramePointer:
		return "a frame pointer is not aligned"
	case EndNotAscending:
		return "the stack was switched too often"
	case EndTooDeep:
		return "too many frames"
	case EndBadAddress:
		return "a return address is no code"
	case EndNoRule:
		return "no rule"
	case EndNoMapping:
		return "nothing is mapped there"
	case EndNoTable:
		return "no table"
	case EndShortSnapshot:
		return "the copy of the stack is too short"
	}
	return "unknown"
}
