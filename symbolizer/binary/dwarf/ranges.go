package dwarf

// A span is code: addresses from low up to high.
type span struct{ low, high uint64 }

// rangesOf returns the code that a low address, a high one or a length, and a list
// of ranges stand for, as far as it is code of this binary: functions that the
// linker threw away keep their entries, with addresses that lie nowhere.
func (d *Data) rangesOf(u *unit, low, high, list value, yield func(span) error) error {
	if list.present() {
		return d.list(u, list, func(s span) error { return d.clip(s, yield) })
	}
	if !low.present() || !high.present() {
		return nil
	}
	from, err := d.address(u, low)
	if err != nil {
		return err
	}
	to := from + high.number
	if !high.isConstant() {
		if to, err = d.address(u, high); err != nil {
			return err
		}
	}
	return d.clip(span{from, to}, yield)
}

// clip passes on the part of a span that is code. It must begin in the code.
func (d *Data) clip(s span, yield func(span) error) error {
	for _, c := range d.code {
		if s.low >= c.low && s.low < c.high {
			if s.high = min(s.high, c.high); s.high > s.low {
				return yield(s)
			}
			return nil
		}
	}
	return nil
}

// list decodes a list of ranges: of .debug_ranges up to version 4, of
// .debug_rnglists from 5 on.
func (d *Data) list(u *unit, v value, yield func(span) error) error {
	if u.version < 5 {
		return d.oldList(u, v.number, yield)
	}
	at := v.number
	if v.form == formRnglistx {
		n := u.format.offsetSize()
		if v.number > 1<<40 {
			return errMalformed("list of ranges %d", v.number)
		}
		data, err := d.sections.read(&d.buffers().small, sectionRnglists, u.rnglistsBase+v.number*n, n)
		if err != nil {
			return err
		}
		c := cursor{data: data, big: d.big}
		at = u.rnglistsBase + c.offset(u.format.wide)
	}
	return d.newList(u, at, yield)
}

// chunked decodes entries from at on with decode, which answers false after the
// last. What it decodes counts against the budget, because many functions may point
// to one long list.
func (d *Data) chunked(id sectionID, at uint64, decode func(c *cursor) (more bool, err error)) error {
	const chunk, longest = 1 << 10, 64 // bytes read at a time, bytes of an entry
	for {
		data, err := d.sections.upTo(&d.buffers().list, id, at, chunk)
		if err != nil {
			return err
		}
		last := len(data) < chunk
		c := cursor{data: data, big: d.big}
		for last || c.left() >= longest {
			if d.budget--; d.budget < 0 {
				return errMalformed("too many ranges")
			}
			more, err := decode(&c)
			switch {
			case err != nil:
				return err
			case c.bad:
				return errMalformed("a list of ranges in %s does not end", sectionNames[id])
			case !more:
				return nil
			}
		}
		at += uint64(c.at)
	}
}

func (d *Data) oldList(u *unit, at uint64, yield func(span) error) error {
	base, size := u.low, u.format.address
	highest := uint64(1)<<(8*uint(size)-1)<<1 - 1
	return d.chunked(sectionRanges, at, func(c *cursor) (bool, error) {
		low, high := c.sized(size), c.sized(size)
		switch {
		case c.bad || low == 0 && high == 0:
			return false, nil
		case low == highest:
			base = high
			return true, nil
		}
		return true, d.offer(span{base + low, base + high}, yield)
	})
}

func (d *Data) newList(u *unit, at uint64, yield func(span) error) error {
	base, size := u.low, u.format.address
	return d.chunked(sectionRnglists, at, func(c *cursor) (more bool, err error) {
		var s span
		switch kind := c.u8(); kind {
		case rangeEndOfList:
			return false, nil
		case rangeBaseAddressx:
			base, err = d.indexedAddress(u, c.uleb())
			return true, err
		case rangeBaseAddress:
			base = c.sized(size)
			return true, nil
		case rangeStartxEndx:
			from, to := c.uleb(), c.uleb()
			if s.low, err = d.indexedAddress(u, from); err == nil {
				s.high, err = d.indexedAddress(u, to)
			}
		case rangeStartxLength:
			from, length := c.uleb(), c.uleb()
			s.low, err = d.indexedAddress(u, from)
			s.high = s.low + length
		case rangeOffsetPair:
			s = span{base + c.uleb(), base + c.uleb()}
		case rangeStartEnd:
			s = span{c.sized(size), c.sized(size)}
		case rangeStartLength:
			s.low = c.sized(size)
			s.high = s.low + c.uleb()
		default:
			return false, errMalformed("an entry of kind %d in a list of ranges", kind)
		}
		if err != nil || c.bad {
			return false, err
		}
		return true, d.offer(s, yield)
	})
}

// offer passes on a span that has code.
func (d *Data) offer(s span, yield func(span) error) error {
	if s.high <= s.low {
		return nil
	}
	return yield(s)
}
