package server

import "strings"

// stopScanner lets text through up to the first stop sequence. Text that may be
// the start of one is held back until it is known not to be.
type stopScanner struct {
	stops []string
	held  string
}

// next takes the next text and gives what can be let through; stopped says that
// a stop sequence was found, at which the text ends.
func (s *stopScanner) next(text string) (through string, stopped bool) {
	s.held += text
	first := -1
	for _, stop := range s.stops {
		if i := strings.Index(s.held, stop); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		through, s.held = s.held[:first], ""
		return through, true
	}
	keep := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(s.held)); n > keep; n-- {
			if strings.HasSuffix(s.held, stop[:n]) {
				keep = n
			}
		}
	}
	through, s.held = s.held[:len(s.held)-keep], s.held[len(s.held)-keep:]
	return through, false
}

// rest gives what is still held when no more text comes.
func (s *stopScanner) rest() string {
	text := s.held
	s.held = ""
	return text
}
