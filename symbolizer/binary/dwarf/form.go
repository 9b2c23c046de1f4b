package dwarf

// A format is what the sizes of some values depend on.
type format struct {
	wide    bool  // the 64-bit format of DWARF
	address uint8 // bytes of an address
}

func (f format) offsetSize() uint64 {
	if f.wide {
		return 8
	}
	return 4
}

// A value is what an attribute has. What it means depends on its form.
type value struct {
	form   uint16
	number uint64
	text   []byte // of formString
}

func (v value) present() bool { return v.form != 0 }

// size returns the bytes that a value of a form takes, and false where they vary.
func (u *unit) size(form uint16) (uint64, bool) {
	switch form {
	case formFlagPresent, formImplicitConst:
		return 0, true
	case formData1, formRef1, formFlag, formStrx1, formAddrx1:
		return 1, true
	case formData2, formRef2, formStrx2, formAddrx2:
		return 2, true
	case formStrx3, formAddrx3:
		return 3, true
	case formData4, formRef4, formStrx4, formAddrx4, formRefSup4:
		return 4, true
	case formData8, formRef8, formRefSig8, formRefSup8:
		return 8, true
	case formData16:
		return 16, true
	case formAddr:
		return uint64(u.format.address), true
	case formStrp, formSecOffset, formLineStrp, formStrpSup, formGNURefAlt, formGNUStrpAlt:
		return u.format.offsetSize(), true
	case formRefAddr:
		if u.version < 3 { // it had the size of an address then
			return uint64(u.format.address), true
		}
		return u.format.offsetSize(), true
	}
	return 0, false
}

// value reads a value of a form.
func (u *unit) value(c *cursor, a attribute) value {
	v := value{form: a.form}
	for indirect := 0; v.form == formIndirect; indirect++ {
		if v.form = uint16(c.uleb()); indirect > 2 || v.form == formImplicitConst {
			c.bad = true
			return v
		}
	}
	switch v.form {
	case formImplicitConst:
		v.number = uint64(a.constant)
	case formFlagPresent:
		v.number = 1
	case formSdata:
		v.number = uint64(c.sleb())
	case formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx, formGNUAddrIndex, formGNUStrIndex:
		v.number = c.uleb()
	case formString:
		v.text = c.text()
	case formBlock1:
		c.skip(uint64(c.u8()))
	case formBlock2:
		c.skip(uint64(c.u16()))
	case formBlock4:
		c.skip(uint64(c.u32()))
	case formBlock, formExprloc:
		c.skip(c.uleb())
	case formData16:
		c.skip(16)
	default:
		n, ok := u.size(v.form)
		if !ok {
			c.bad = true // a form unknown here: nothing after it can be found
			return v
		}
		v.number = c.sized(uint8(n))
	}
	return v
}

// skip passes over an entry's values.
func (u *unit) skip(c *cursor, a *abbreviation) {
	if a.fixed >= 0 {
		c.skip(uint64(a.fixed))
		return
	}
	for _, at := range a.attributes {
		if n, ok := u.size(at.form); ok {
			c.skip(n)
		} else {
			u.value(c, at)
		}
	}
}

// reference returns the offset in .debug_info that a value refers to, and false
// where it refers to somewhere else.
func (u *unit) reference(v value) (uint64, bool) {
	switch v.form {
	case formRef1, formRef2, formRef4, formRef8, formRefUdata:
		return u.offset + v.number, v.number < u.end-u.offset
	case formRefAddr:
		return v.number, true
	}
	return 0, false
}

// elsewhere reports whether a value is in a supplementary file.
func (v value) elsewhere() bool {
	switch v.form {
	case formGNURefAlt, formGNUStrpAlt, formRefSup4, formRefSup8, formStrpSup:
		return true
	}
	return false
}

// constant reports whether a value is a number and not an address.
func (v value) isConstant() bool {
	switch v.form {
	case formData1, formData2, formData4, formData8, formSdata, formUdata, formImplicitConst:
		return true
	}
	return false
}

// address returns the address that a value is or stands for.
func (d *Data) address(u *unit, v value) (uint64, error) {
	switch v.form {
	case formAddrx, formAddrx1, formAddrx2, formAddrx3, formAddrx4, formGNUAddrIndex:
		return d.indexedAddress(u, v.number)
	}
	return v.number, nil
}

// indexedAddress reads a row of the unit's part of .debug_addr.
func (d *Data) indexedAddress(u *unit, index uint64) (uint64, error) {
	if index > 1<<40 {
		return 0, errMalformed("address %d of a table", index)
	}
	n := uint64(u.format.address)
	data, err := d.sections.read(&d.buffers().small, sectionAddr, u.addrBase+index*n, n)
	if err != nil {
		return 0, err
	}
	c := cursor{data: data, big: d.big}
	return c.sized(u.format.address), nil
}

// text returns the string that a value is or stands for; "" where it is none, or
// in a file that is not there.
func (d *Data) text(u *unit, v value) (string, error) {
	switch v.form {
	case formString:
		return string(v.text), nil
	case formStrp:
		return d.sections.text(sectionStr, v.number)
	case formLineStrp:
		return d.sections.text(sectionLineStr, v.number)
	case formGNUStrpAlt, formStrpSup:
		if d.supplement != nil {
			return d.supplement.sections.text(sectionStr, v.number)
		}
	case formStrx, formStrx1, formStrx2, formStrx3, formStrx4, formGNUStrIndex:
		if v.number > 1<<40 {
			return "", errMalformed("string %d of a table", v.number)
		}
		n := u.format.offsetSize()
		data, err := d.sections.read(&d.buffers().small, sectionStrOffsets, u.strOffsetsBase+v.number*n, n)
		if err != nil {
			return "", err
		}
		c := cursor{data: data, big: d.big}
		return d.sections.text(sectionStr, c.offset(u.format.wide))
	}
	return "", nil
}
