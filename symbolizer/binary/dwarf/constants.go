package dwarf

// The constants of DWARF that this package relies on, from the DWARF 5 standard,
// section 7, and for the GNU extensions from binutils' include/dwarf2.def.
const (
	tagClassType         = 0x02
	tagEntryPoint        = 0x03
	tagEnumerationType   = 0x04
	tagCompileUnit       = 0x11
	tagStructureType     = 0x13
	tagUnionType         = 0x17
	tagInlinedSubroutine = 0x1d
	tagModule            = 0x1e
	tagSubprogram        = 0x2e
	tagNamespace         = 0x39
	tagInterfaceType     = 0x38
	tagPartialUnit       = 0x3c
	tagTypeUnit          = 0x41
	tagSkeletonUnit      = 0x4a

	attrSibling         = 0x01
	attrName            = 0x03
	attrStatementList   = 0x10
	attrLowPC           = 0x11
	attrHighPC          = 0x12
	attrCompilationDir  = 0x1b
	attrAbstractOrigin  = 0x31
	attrDeclLine        = 0x3b
	attrDeclaration     = 0x3c
	attrSpecification   = 0x47
	attrRanges          = 0x55
	attrCallFile        = 0x58
	attrCallLine        = 0x59
	attrLinkageName     = 0x6e
	attrStrOffsetsBase  = 0x72
	attrAddrBase        = 0x73
	attrRnglistsBase    = 0x74
	attrDwoName         = 0x76
	attrMIPSLinkageName = 0x2007
	attrGNUDwoName      = 0x2130
	attrGNUAddrBase     = 0x2133

	formAddr          = 0x01
	formBlock2        = 0x03
	formBlock4        = 0x04
	formData2         = 0x05
	formData4         = 0x06
	formData8         = 0x07
	formString        = 0x08
	formBlock         = 0x09
	formBlock1        = 0x0a
	formData1         = 0x0b
	formFlag          = 0x0c
	formSdata         = 0x0d
	formStrp          = 0x0e
	formUdata         = 0x0f
	formRefAddr       = 0x10
	formRef1          = 0x11
	formRef2          = 0x12
	formRef4          = 0x13
	formRef8          = 0x14
	formRefUdata      = 0x15
	formIndirect      = 0x16
	formSecOffset     = 0x17
	formExprloc       = 0x18
	formFlagPresent   = 0x19
	formStrx          = 0x1a
	formAddrx         = 0x1b
	formRefSup4       = 0x1c
	formStrpSup       = 0x1d
	formData16        = 0x1e
	formLineStrp      = 0x1f
	formRefSig8       = 0x20
	formImplicitConst = 0x21
	formLoclistx      = 0x22
	formRnglistx      = 0x23
	formRefSup8       = 0x24
	formStrx1         = 0x25
	formStrx2         = 0x26
	formStrx3         = 0x27
	formStrx4         = 0x28
	formAddrx1        = 0x29
	formAddrx2        = 0x2a
	formAddrx3        = 0x2b
	formAddrx4        = 0x2c
	formGNUAddrIndex  = 0x1f01
	formGNUStrIndex   = 0x1f02
	formGNURefAlt     = 0x1f20
	formGNUStrpAlt    = 0x1f21

	unitCompile      = 0x01
	unitType         = 0x02
	unitPartial      = 0x03
	unitSkeleton     = 0x04
	unitSplitCompile = 0x05
	unitSplitType    = 0x06

	rangeEndOfList    = 0x00
	rangeBaseAddressx = 0x01
	rangeStartxEndx   = 0x02
	rangeStartxLength = 0x03
	rangeOffsetPair   = 0x04
	rangeBaseAddress  = 0x05
	rangeStartEnd     = 0x06
	rangeStartLength  = 0x07

	lineCopy           = 0x01
	lineAdvancePC      = 0x02
	lineAdvanceLine    = 0x03
	lineSetFile        = 0x04
	lineConstAddPC     = 0x08
	lineFixedAdvancePC = 0x09

	lineEndSequence = 0x01
	lineSetAddress  = 0x02
	lineDefineFile  = 0x03

	contentPath           = 0x01
	contentDirectoryIndex = 0x02
)

// Limits on what a file may make this package do; each is several times what the
// largest real programs need. What grows with a unit is bounded by MaxMemory too.
const (
	maxUnits         = 1 << 18 // browsers have 40,000
	maxAbbreviations = 1 << 16 // of one table; compilers make some hundreds
	maxAttributes    = 1 << 8  // of one abbreviation
	maxDepth         = 1 << 12 // of entries within each other
	maxOrigins       = 16      // entries that one function's name is spread over
	maxContainers    = 64      // namespaces and classes around a function
	maxInlined       = 512     // functions inlined into each other
	maxRanges        = 2 << 20 // of the functions of a unit
	maxUnitRanges    = 8 << 20 // of all units
	maxRows          = 8 << 20 // of the line table of a unit
	maxFiles         = 1 << 18 // of a line table
	maxName          = 64 << 10
)
