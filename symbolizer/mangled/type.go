package mangled

// builtins are the types of one letter, from a on.
var builtins = [26]string{
	"signed char", "bool", "char", "double", "long double", "float", "__float128", "unsigned char", "int", "unsigned int",
	"", "long", "unsigned long", "__int128", "unsigned __int128", "", "", "", "short", "unsigned short",
	"", "void", "wchar_t", "long long", "unsigned long long", "...",
}

// aType reads a type.
func (r *Reader) aType() part {
	if !r.descend() {
		return part{}
	}
	defer func() { r.deep-- }()
	before := r.params
	from := r.at
	for c := r.peek(); c == 'r' || c == 'V' || c == 'K'; c = r.peek() {
		r.at++
	}
	letters := r.name[from:r.at]
	if letters == "" {
		return r.unqualifiedType()
	}
	if len(letters) > 3 || r.peek() == 'F' {
		r.refuse()
		return part{}
	}
	p := r.unqualifiedType()
	if p.kind == qualified || p.kind == function || p.pack {
		r.refuse() // they are merged
		return p
	}
	for i := len(letters) - 1; i >= 0; i-- {
		p = r.declare(p, qualifier(letters[i]))
	}
	p.kind = qualified
	r.remember(p, before)
	return p
}

// unqualifiedType reads a type that does not begin with qualifiers.
func (r *Reader) unqualifiedType() part {
	start, before := len(r.text), r.params
	c := r.peek()
	switch {
	case lower(c):
		name := builtins[c-'a']
		if name == "" {
			r.refuse()
		}
		r.at++
		r.write(name)
		return part{start: start, end: len(r.text)}
	case c == 'P', c == 'R', c == 'O':
		r.at++
		return r.pointer(c, before)
	case c == 'S' && (r.ahead(1) == '_' || digit(r.ahead(1)) || upper(r.ahead(1))):
		p := r.back(false)
		if r.peek() != 'I' {
			return p
		}
		if p.kind != plain || p.pack {
			r.refuse()
		}
		r.arguments()
		p.end = len(r.text)
		r.remember(p, before)
		return p
	case c == 'S' && r.ahead(1) != 't' && r.ahead(2) != 'I':
		return r.back(false)
	case c == 'N', c == 'Z', c == 'S', digit(c):
		n := r.called()
		if n.qualifiers != "" {
			r.refuse()
		}
		n.kind = plain
		r.remember(n.part, before)
		return n.part
	case c == 'T':
		return r.parameter(before)
	case c == 'F':
		return r.functionType(before)
	case c == 'D':
		return r.unusualType()
	}
	r.refuse()
	return part{}
}

// pointer reads what a pointer or a reference points to.
func (r *Reader) pointer(c byte, paramsBefore int) part {
	p := r.aType()
	if p.pack {
		r.refuse()
		return p
	}
	p = r.pointTo(p, c)
	r.remember(p, paramsBefore)
	return p
}

// pointTo puts the mark of a pointer or a reference behind a type. References to references
// become one.
func (r *Reader) pointTo(p part, c byte) part {
	isReference := p.kind == reference || p.kind == rvalue
	if isReference && r.scopes == 0 {
		r.refuse()
	}
	switch {
	case c == 'P':
		p = r.declare(p, "*")
		p.kind = plain
	case c == 'O' && isReference, c == 'R' && p.kind == reference:
	case c == 'R' && p.kind == rvalue:
		if p.split > 0 {
			r.refuse()
		}
		r.cut()
		p.end--
		p.kind = reference
	case c == 'R':
		p = r.declare(p, "&")
		p.kind = reference
	default:
		p = r.declare(p, "&&")
		p.kind = rvalue
	}
	return p
}

// declare puts what makes another type of a type behind it, or, if it is a function's,
// where a function's name would stand. The type is the end of the text.
func (r *Reader) declare(p part, mark string) part {
	if p.split == 0 {
		r.write(mark)
		p.end = len(r.text)
		return p
	}
	inside := len(mark)
	if p.kind == function {
		mark = "(" + mark + ")"
	}
	r.write(mark)
	copy(r.text[p.split+len(mark):], r.text[p.split:])
	copy(r.text[p.split:], mark)
	r.shift(p.split, len(mark))
	if p.kind == function {
		inside++
	}
	p.split += inside
	p.end = len(r.text)
	return p
}

// shift corrects the parts after text was inserted. Those around it are not what they were.
func (r *Reader) shift(at, by int) {
	for i := len(r.parts) - 1; i >= 0; i-- {
		switch p := &r.parts[i]; {
		case p.aside:
		case p.start >= at:
			p.move(by)
		case p.end > at:
			p.kind = unusual
		}
	}
}

// cut takes the last byte of the text away.
func (r *Reader) cut() {
	r.text = r.text[:len(r.text)-1]
	for i := range r.parts {
		if r.parts[i].end > len(r.text) && !r.parts[i].aside {
			r.parts[i].kind = unusual
		}
	}
}

// functionType reads the type of a function.
func (r *Reader) functionType(paramsBefore int) part {
	r.expect('F')
	r.accept('Y')
	p := part{start: len(r.text), kind: function}
	if returned := r.aType(); returned.split > 0 || returned.pack {
		r.refuse()
	}
	r.write(" ")
	p.split = len(r.text)
	r.parameters()
	r.expect('E')
	p.end = len(r.text)
	r.remember(p, paramsBefore)
	return p
}

// unusualType reads types of two letters.
func (r *Reader) unusualType() part {
	p := part{start: len(r.text)}
	r.at++
	c := r.peek()
	r.at++
	switch c {
	case 'n':
		r.write("decltype(nullptr)")
	case 'i':
		r.write("char32_t")
	case 's':
		r.write("char16_t")
	case 'u':
		r.write("char8_t")
	case 'p':
		return r.expansion()
	default:
		r.refuse()
	}
	p.end = len(r.text)
	return p
}

// back writes what was referred to again. Standard names are longer before constructors.
func (r *Reader) back(prefix bool) part {
	r.expect('S')
	c := r.peek()
	if c == '_' || digit(c) || upper(c) {
		n := 0
		if !r.accept('_') {
			for c = r.peek(); digit(c) || upper(c); c = r.peek() {
				d := int(c - '0')
				if upper(c) {
					d = int(c-'A') + 10
				}
				if n = n*36 + d; n > 1<<20 {
					r.refuse()
					return part{}
				}
				r.at++
			}
			r.expect('_')
			n++
		}
		if n >= len(r.parts) {
			r.refuse()
			return part{}
		}
		p := r.parts[n]
		if p.kind == unusual || p.pack || p.ofParameters && (p.of != r.of || r.scopes != 1 || r.lambdas > 0 || r.casts > 0) {
			r.refuse()
			return part{}
		}
		if p.ofParameters {
			r.params++
		}
		return r.again(p)
	}
	r.at++
	next := r.peek()
	return r.abbreviation(c, prefix && (next == 'C' || next == 'D'))
}

// abbreviation writes one of the names in std that have their own letters.
func (r *Reader) abbreviation(c byte, long bool) part {
	p := part{start: len(r.text)}
	r.write("std")
	name := ""
	switch c {
	case 't':
	case 'a':
		name = "allocator"
	case 'b':
		name = "basic_string"
	case 's':
		name = "string"
	case 'i':
		name = "istream"
	case 'o':
		name = "ostream"
	case 'd':
		name = "iostream"
	default:
		r.refuse()
	}
	if r.peek() == 'B' {
		r.refuse()
	}
	long = long && c != 't' && c != 'a' && c != 'b'
	if name != "" {
		r.write("::")
		p.lastFrom = len(r.text)
		if long {
			r.write("basic_")
		}
		r.write(name)
	} else {
		p.lastFrom = p.start
	}
	p.lastTo = len(r.text)
	if long {
		r.write("<char, std::char_traits<char>")
		if c == 's' {
			r.write(", std::allocator<char>")
		}
		r.write(" >")
	}
	p.end = len(r.text)
	return p
}
