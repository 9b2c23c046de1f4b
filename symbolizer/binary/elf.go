package binary

// The constants of the ELF format that this package relies on, from the System
// V gABI, chapters 4 and 5, and for the Go note from cmd/link/internal/ld/elf.go.
const (
	classOffset = 4 // index of EI_CLASS in e_ident
	dataOffset  = 5 // index of EI_DATA in e_ident

	class32 = 1
	class64 = 2

	dataLittleEndian = 1
	dataBigEndian    = 2

	typeRelocatable  = 1
	typeExecutable   = 2
	typeSharedObject = 3

	segmentLoad    = 1
	segmentDynamic = 2
	segmentNote    = 4

	segmentFrameHeader = 0x6474e550 // PT_GNU_EH_FRAME

	dynamicNull   = 0
	dynamicNeeded = 1

	segmentFlagExecute = 1
	segmentFlagWrite   = 2

	sectionSymbolTable        = 2
	sectionRelocationsAddend  = 4
	sectionNote               = 7
	sectionNoBits             = 8
	sectionDynamicSymbolTable = 11

	sectionFlagAlloc      = 0x2
	sectionFlagExecute    = 0x4
	sectionFlagCompressed = 0x800

	symbolNoType   = 0
	symbolFunction = 2
	symbolIndirect = 10 // STT_GNU_IFUNC

	bindLocal  = 0
	bindGlobal = 1
	bindWeak   = 2
	bindUnique = 10 // STB_GNU_UNIQUE

	sectionIndexUndefined = 0
	sectionIndexReserved  = 0xff00

	noteGNUBuildID = 3
	noteGoBuildID  = 4
)

// Limits on what a file may make this package do. Each is several times what
// the largest real files need: browsers and compilers have about a million
// function symbols, and a section header table rarely has 100 rows. They hold
// for sparse files too, whose sizes cost their makers nothing.
const (
	maxProgramHeaders = 4096
	maxSectionHeaders = 16384
	maxSectionNames   = 1 << 20
	maxNotes          = 64      // segments and sections of notes
	maxNoteBytes      = 1 << 16 // of each
	maxSymbolEntries  = 16 << 20
	maxSymbols        = 4 << 20
	maxNameLength     = 64 << 10
	maxRelocations    = 4 << 20
	maxScannedBytes   = 256 << 20
	maxDynamic        = 1024 // rows of the dynamic section
)
