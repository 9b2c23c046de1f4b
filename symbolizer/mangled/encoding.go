package mangled

// A called is what a function's parameters depend on: its name.
type called struct {
	part
	qualifiers string // of the method
	template   bool   // it ends in template arguments
	returns    bool   // its type begins with what it returns
}

// encoding reads a function with its parameters, or data, or what compilers make beside
// those, and returns where its text begins; it goes on to the end. What is around a local
// name does not say what it returns.
func (r *Reader) encoding(local bool) (start int) {
	if !r.descend() {
		return len(r.text)
	}
	defer func() { r.deep-- }()
	start = len(r.text)
	if c := r.peek(); c == 'T' || c == 'G' {
		r.special()
		return start
	}
	name := r.called()
	if c := r.peek(); c == 0 || c == 'E' {
		if name.qualifiers != "" {
			r.refuse()
		}
		return start
	}
	if name.template {
		if r.scopes++; r.scopes == 1 {
			r.scope = append(r.scope[:0], r.latest...)
			r.named++
			r.of = r.named
		}
	}
	returned := part{}
	if name.returns {
		returned = r.aType()
		if returned.split > 0 || returned.pack {
			r.refuse()
		}
	}
	from := len(r.text)
	r.parameters()
	r.write(name.qualifiers)
	until := len(r.text)
	if name.template {
		r.scopes--
	}
	if !name.returns || r.bad {
		return start
	}
	// What is returned came between the name and the parameters.
	if local {
		r.setAside(returned.start, from)
		return start
	}
	start = len(r.text)
	r.again(returned)
	r.write(" ")
	r.again(name.part)
	r.again(part{start: from, end: until})
	return start
}

// setAside takes a piece out of the text, but keeps the parts in it to be referred to.
func (r *Reader) setAside(from, to int) {
	kept := len(r.aside)
	r.aside = append(r.aside, r.text[from:to]...)
	r.text = append(r.text[:from], r.text[to:]...)
	for i := len(r.parts) - 1; i >= 0; i-- {
		p := &r.parts[i]
		switch {
		case p.aside || p.end <= from && p.start < from:
		case p.start >= to:
			p.move(from - to)
		case p.start >= from && p.end <= to:
			p.move(kept - from)
			p.aside = true
		default:
			p.kind = unusual
		}
	}
}

// parameters reads the types of a function's parameters.
func (r *Reader) parameters() {
	r.write("(")
	if c := r.ahead(1); r.peek() == 'v' && (c == 0 || c == 'E' || c == '.') {
		r.at++
		r.write(")")
		return
	}
	r.list(func() bool {
		c := r.peek()
		if (c == 'R' || c == 'O') && r.ahead(1) == 'E' || c == 'Q' || c == 'J' {
			r.refuse()
		}
		return c != 0 && c != 'E' && c != '.'
	}, func() { r.aType() })
	r.write(")")
}

// list reads what commas separate in the text. What is empty, as a pack may be, has none.
func (r *Reader) list(more func() bool, one func()) {
	first, count := true, 0
	for !r.bad && more() {
		before := len(r.text)
		if !first {
			r.write(", ")
		}
		at := len(r.text)
		one()
		if count++; len(r.text) == at {
			r.text = r.text[:before]
		} else {
			first = false
		}
	}
	if count == 0 {
		r.refuse()
	}
}

// special reads what compilers make beside functions and data.
func (r *Reader) special() {
	if r.accept('G') {
		r.expect('V')
		r.write("guard variable for ")
		if r.called().qualifiers != "" {
			r.refuse()
		}
		return
	}
	r.expect('T')
	c := r.peek()
	r.at++
	switch c {
	case 'V':
		r.write("vtable for ")
	case 'T':
		r.write("VTT for ")
	case 'I':
		r.write("typeinfo for ")
	case 'S':
		r.write("typeinfo name for ")
	case 'h':
		r.write("non-virtual thunk to ")
		r.offset()
	case 'v':
		r.write("virtual thunk to ")
		r.offset()
		r.offset()
	default:
		r.refuse()
		return
	}
	if c != 'h' && c != 'v' {
		r.aType()
		return
	}
	end := len(r.text)
	if start := r.encoding(false); start != end {
		r.refuse() // it was put together anew, away from what is before it
	}
}

// offset passes over a part of how far a thunk moves.
func (r *Reader) offset() {
	r.accept('n')
	r.number()
	r.expect('_')
}
