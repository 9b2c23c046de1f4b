package unwind

// A Kind is the form of a Row's rule. The bit InLinkRegister may be added to it.
type Kind uint8

// The numbers are those of enum unwind_row_kind in bpf. CFA is DWARF's canonical
// frame address: what the stack pointer is in the caller, after the return.
const (
	// KindEnd is code at the root of a stack: there is no return address.
	KindEnd Kind = 0
	// KindNone is code that nothing is known about.
	KindNone Kind = 1
	// KindSP is CFA = SP + 8*CFA.
	KindSP Kind = 2
	// KindFP is CFA = FP + 8*CFA.
	KindFP Kind = 3
	// KindFPDeref is CFA = *(FP + 8*CFA): the realigned stacks of gcc, where the CFA
	// is no constant distance from FP. So Row.FP is 1 if the caller's frame pointer
	// is in memory at FP itself; if it is negative or 0 it means what it always does.
	KindFPDeref Kind = 4
	// KindPLT is the entry of an x86-64 procedure linkage table, which pushes a
	// word half-way: CFA = SP + 8*CFA, and 8 more if PC&15 >= Row.FP. The frame
	// pointer is unchanged.
	KindPLT Kind = 5
	// KindSignal is the code to which a signal handler returns: all registers of
	// the interrupted code are in the ucontext at SP.
	KindSignal Kind = 6
	// KindWide has its rule in Table.Wide, at the index uint16(Row.CFA).
	KindWide Kind = 7

	// InLinkRegister is added to a kind of arm64 code where the return address is
	// still in the link register.
	InLinkRegister Kind = 0x80
)

// A Row is the rule for the addresses from its own up to the next row's. It
// takes 8 bytes, in the order of its fields, without padding.
type Row struct {
	// PC is the first address that the rule holds for, in bytes from Table.Base.
	PC uint32
	// CFA is the distance of the CFA from its register in words of 8 bytes,
	// unless the kind says otherwise.
	CFA int16
	// FP says where the caller's frame pointer is: 0 if it is unchanged, else in
	// memory at CFA + 8*FP, unless the kind says otherwise.
	//
	// The return address is at CFA-8 on x86-64. On arm64 it is behind the frame
	// pointer, at CFA + 8*FP + 8, or still in the link register, as the kind says.
	FP int8
	// Kind is the form of the rule.
	Kind Kind
}

// A Wide is a rule that does not fit a Row. It takes 16 bytes, in the order of
// its fields, without padding.
type Wide struct {
	CFA         int32     // bytes from the value of CFARegister
	FP          int32     // bytes from the CFA
	RA          int32     // bytes from the CFA
	CFARegister uint8     // DWARF's number; others than SP and FP are known in the leaf only
	Flags       WideFlags //
	After       int16     // bytes added after dereferencing
}

// WideFlags say how to read a Wide.
type WideFlags uint8

const (
	// WideDeref makes the CFA the word in memory at register + CFA, plus After.
	WideDeref WideFlags = 1
	// WideFPSaved says that the caller's frame pointer is in memory at CFA + FP.
	// Without it and WideFPAtFP it is unchanged.
	WideFPSaved WideFlags = 2
	// WideInLinkRegister says that the return address is in the link register.
	WideInLinkRegister WideFlags = 4
	// WideEnd says that there is no return address: the root of a stack.
	WideEnd WideFlags = 8
	// WideInexpressible says that the binary has a rule, but not one that this
	// layout can say.
	WideInexpressible WideFlags = 16
	// WideFPAtFP says that the caller's frame pointer is in memory at the frame
	// pointer + FP.
	WideFPAtFP WideFlags = 32
)
