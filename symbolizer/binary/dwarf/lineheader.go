package dwarf

// A lineProgram is a line table before it is run: its header, and the instructions
// that make its rows.
type lineProgram struct {
	table          *lines
	instructions   cursor
	addressSize    uint8
	minInstruction uint64
	lineBase       int8
	lineRange      uint8
	opcodeBase     uint8
	operands       []uint8 // of the standard opcodes, from 1 on
}

// readLines reads the line table of a unit; nil if it has none.
func (d *Data) readLines(u *unit) (*lines, error) {
	if !u.lines.present() {
		return nil, nil
	}
	p, err := d.lineProgram(u)
	if err != nil {
		return nil, err
	}
	room := d.buffers()
	r := runner{data: d, program: p, rows: room.rows[:0], ends: room.ends[:0], sequences: room.sequences[:0]}
	err = r.run()
	if err == nil {
		p.table.rows = r.sorted()
	}
	room.rows, room.ends, room.sequences = r.rows, r.ends, r.sequences
	if err != nil {
		return nil, err
	}
	return p.table, nil
}

// lineProgram reads the header of a line table.
func (d *Data) lineProgram(u *unit) (*lineProgram, error) {
	at := u.lines.number
	head, err := d.sections.upTo(&d.buffers().small, sectionLine, at, 12)
	if err != nil {
		return nil, err
	}
	c := cursor{data: head, big: d.big}
	length, wide := c.length()
	if c.bad || length > uint64(d.maxMemory) {
		return nil, errTooLarge("the line table at %#x, of %d bytes", at, length)
	}
	data, err := d.sections.read(&d.buffers().lines, sectionLine, at+uint64(c.at), length)
	if err != nil {
		return nil, err
	}
	c = cursor{data: data, big: d.big}
	directory, err := d.text(u, u.directory)
	if err != nil {
		return nil, err
	}
	p := &lineProgram{table: &lines{version: c.u16(), directory: directory}, addressSize: u.format.address}
	if p.table.version < 2 || p.table.version > 5 {
		return nil, errMalformed("the line table at %#x, of version %d", at, p.table.version)
	}
	if p.table.version >= 5 {
		p.addressSize = c.u8()
		c.u8() // bytes of a segment selector
	}
	headerLength := c.offset(wide)
	if c.bad || headerLength > uint64(c.left()) {
		return nil, errMalformed("the line table at %#x", at)
	}
	p.instructions = cursor{data: data, at: c.at + int(headerLength), big: d.big}
	c.data = data[:p.instructions.at]
	p.constants(&c)
	// Forms of the file names have the sizes of this table, not those of the unit.
	shape := *u
	shape.format = format{wide: wide, address: p.addressSize}
	if err := p.names(d, &shape, &c); err != nil {
		return nil, err
	}
	if c.bad || p.lineRange == 0 || p.opcodeBase == 0 || p.addressSize != 4 && p.addressSize != 8 {
		return nil, errMalformed("the header of the line table at %#x", at)
	}
	return p, nil
}

func (p *lineProgram) constants(c *cursor) {
	p.minInstruction = uint64(c.u8())
	if p.table.version >= 4 {
		c.u8() // operations of an instruction: only VLIW machines have several
	}
	c.u8() // whether rows are statements, which nothing here needs
	p.lineBase, p.lineRange, p.opcodeBase = int8(c.u8()), c.u8(), c.u8()
	if p.opcodeBase > 0 {
		p.operands = c.take(uint64(p.opcodeBase) - 1)
	}
}

// names reads the tables of folders and files.
func (p *lineProgram) names(d *Data, u *unit, c *cursor) error {
	t := p.table
	if t.version >= 5 {
		err := p.entries(d, u, c, func(f file) { t.dirs = append(t.dirs, f.name) })
		if err != nil {
			return err
		}
		return p.entries(d, u, c, func(f file) { t.files = append(t.files, f) })
	}
	for !c.bad {
		name := c.text()
		if len(name) == 0 {
			break
		}
		t.dirs = append(t.dirs, string(name))
	}
	for !c.bad {
		name := c.text()
		if len(name) == 0 {
			break
		}
		t.files = append(t.files, file{string(name), c.uleb()})
		c.uleb() // time
		c.uleb() // size
	}
	return nil
}

// entries reads one of the two tables of version 5: first what each entry has, then
// the entries.
func (p *lineProgram) entries(d *Data, u *unit, c *cursor, yield func(file)) error {
	formats := make([]attribute, c.u8())
	for i := range formats {
		formats[i] = attribute{name: uint16(min(c.uleb(), 0xffff)), form: uint16(min(c.uleb(), 0xffff))}
	}
	count := c.uleb()
	if count > maxFiles || count > uint64(c.left()) {
		c.bad = true
		return nil
	}
	for range count {
		var f file
		for _, a := range formats {
			v := u.value(c, a)
			if c.bad {
				return nil
			}
			switch a.name {
			case contentPath:
				name, err := d.text(u, v)
				if err != nil {
					return err
				}
				f.name = name
			case contentDirectoryIndex:
				f.directory = v.number
			}
		}
		yield(f)
	}
	return nil
}
