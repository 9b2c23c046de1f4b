package perfmap

import (
	"strconv"
	"strings"
)

// A Function is what a name in a list says of a function.
type Function struct {
	Name string
	File string // "" if the name does not have it
	Line int    // where the function begins; 0 if the name does not have it
}

// jsTiers mark by which of V8's compilers code was made (src/objects/code-kind.cc,
// CodeKindToMarker): the same function moves from one to the next.
const jsTiers = "~^+*"

// Describe takes a name apart that V8 made: a kind of code, the compiler that made it,
// the function, and where that begins, as in "JS:*run /srv/app.js:10:13". A function
// then has one name whatever compiled it. Other names are functions' names as they
// are.
func Describe(name string) Function {
	kind, rest, ok := strings.Cut(name, ":")
	switch kind {
	case "JS", "LazyCompile", "Function", "Script", "Eval":
	default:
		ok = false
	}
	if !ok || rest == "" {
		return Function{Name: name}
	}
	rest = rest[len(rest)-len(strings.TrimLeft(rest, jsTiers)):]
	function, place, _ := strings.Cut(rest, " ")
	f := Function{Name: function}
	place, _, _ = cutNumber(place) // the column
	if file, line, ok := cutNumber(place); ok {
		f.File, f.Line = file, line
	}
	if f.Name == "" {
		f.Name = "(anonymous)"
	}
	return f
}

// cutNumber takes the number after the last colon off a text.
func cutNumber(text string) (before string, number int, ok bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return text, 0, false
	}
	number, err := strconv.Atoi(text[i+1:])
	if err != nil || number < 0 {
		return text, 0, false
	}
	return text[:i], number, true
}
