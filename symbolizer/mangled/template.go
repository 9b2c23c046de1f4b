package mangled

// arguments reads template arguments and writes them in brackets.
func (r *Reader) arguments() {
	if !r.descend() {
		return
	}
	defer func() { r.deep-- }()
	r.expect('I')
	if n := len(r.text); n > 0 && r.text[n-1] == '<' {
		r.write(" ")
	}
	r.write("<")
	outer := len(r.args)
	r.list(func() bool { return r.peek() != 'E' }, func() {
		p := r.argument()
		r.args = append(r.args, p)
	})
	r.expect('E')
	if r.text[len(r.text)-1] == '>' {
		r.write(" ")
	}
	r.write(">")
	r.latest = append(r.latest[:0], r.args[outer:]...)
	r.args = r.args[:outer]
}

// argument reads one template argument.
func (r *Reader) argument() part {
	switch c := r.peek(); {
	case c == 'L':
		return r.literal()
	case c == 'J':
		return r.packOf()
	case c == 'T' && lower(r.ahead(1)):
		r.refuse()
		return part{}
	}
	return r.aType()
}

// packOf reads arguments that one parameter takes.
func (r *Reader) packOf() part {
	r.expect('J')
	p := part{start: len(r.text), pack: true}
	outer := len(r.args)
	for first := true; !r.bad && r.peek() != 'E'; first = false {
		if !first {
			r.write(", ")
		}
		if r.peek() == 'J' {
			r.refuse()
		}
		one := r.argument()
		r.args = append(r.args, one)
	}
	r.expect('E')
	p.first, p.count, p.end = len(r.elements), len(r.args)-outer, len(r.text)
	r.elements = append(r.elements, r.args[outer:]...)
	r.args = r.args[:outer]
	return p
}

// literal reads a value.
func (r *Reader) literal() part {
	p := part{start: len(r.text)}
	r.expect('L')
	suffix, enclosed := "", false
	switch c := r.peek(); {
	case c == 'b' && (r.ahead(1) == '0' || r.ahead(1) == '1') && r.ahead(2) == 'E':
		if r.write("false"); r.ahead(1) == '1' {
			r.text = append(r.text[:p.start], "true"...)
		}
		r.at += 3
		p.end = len(r.text)
		return p
	case c == 'i', c == 'j', c == 'l', c == 'm', c == 'x', c == 'y':
		suffix = map[byte]string{'i': "", 'j': "u", 'l': "l", 'm': "ul", 'x': "ll", 'y': "ull"}[c]
		r.at++
	case c == '_', c == 'Z', c == 'd', c == 'e', c == 'f', c == 'g', c == 'D', c == 'A', c == 'U':
		r.refuse()
		return p
	default:
		enclosed = true
		r.write("(")
		r.aType()
		r.write(")")
	}
	if r.accept('n') {
		r.write("-")
	}
	from := r.at
	for digit(r.peek()) {
		r.at++
	}
	if r.at == from {
		r.refuse()
		return p
	}
	r.write(r.name[from:r.at])
	if !enclosed {
		r.write(suffix)
	}
	r.expect('E')
	p.end = len(r.text)
	p.kind = unusual
	return p
}

// index reads which parameter is meant.
func (r *Reader) index() (part, bool) {
	r.expect('T')
	n := r.ordinal()
	if r.scopes != 1 || r.lambdas > 0 || r.casts > 0 || n >= len(r.scope) {
		r.refuse()
		return part{}, false
	}
	return r.scope[n], true
}

// parameter reads a template parameter, and writes what it stands for.
func (r *Reader) parameter(paramsBefore int) part {
	p, ok := r.index()
	if !ok || p.pack || p.kind == unusual || r.peek() == 'I' {
		r.refuse()
		return part{}
	}
	p = r.again(p)
	r.params++
	r.remember(p, paramsBefore)
	return p
}

// expansion reads a type that is repeated for each argument of a pack, if it is made of
// the parameter by nothing but pointers, references and qualifiers.
func (r *Reader) expansion() part {
	const longest = 8
	before := r.params
	from := r.at
	for c := r.peek(); c == 'P' || c == 'R' || c == 'O' || c == 'K'; c = r.peek() {
		r.at++
	}
	marks := r.name[from:r.at]
	p, ok := r.index()
	if !ok || !p.pack || r.peek() == 'I' || len(marks) > longest {
		r.refuse()
		return part{}
	}
	whole := part{start: len(r.text), pack: true, kind: unusual}
	for i, one := range r.elements[p.first : p.first+p.count] {
		if i > 0 {
			r.write(", ")
		}
		if one.kind == unusual || one.pack {
			r.refuse()
			return whole
		}
		one = r.again(one)
		for j := len(marks) - 1; j >= 0; j-- {
			if marks[j] != 'K' {
				one = r.pointTo(one, marks[j])
				continue
			}
			if one.kind == qualified || one.kind == function {
				r.refuse()
				return whole
			}
			one = r.declare(one, " const")
			one.kind = qualified
		}
	}
	whole.end = len(r.text)
	r.params++
	for range len(marks) + 2 { // the parameter, each of its marks, and the expansion
		r.remember(whole, before)
	}
	whole.kind = plain
	return whole
}
