// Package service gets hold of the service a benchmark drives: [Start] runs a
// reference service as a process of its own, [Target.Open] reaches one that a user
// named: an address that is listened at, a command to speak with over its standard
// input and output, or a directory. All give an [Endpoint]: how it is reached and,
// where that can be told, which process it is, so that its samples and its memory
// can be charged to it.
package service

import (
	"io"
	"net/url"
)

// The kinds of target, as a metrics document names them.
const (
	Reference = "reference"
	External  = "external"
)

// Endpoint is a service that is up.
type Endpoint struct {
	Service string
	// Kind is Reference or External.
	Kind string
	// URL is the base of the service's address, or the target as it was given. It
	// may hold a user and a password; Redacted leaves the password out.
	URL string
	// Directory is where a service's files are, for a target that is a directory.
	Directory string
	// Input and Output are the service's standard input and output, for a target
	// that is a command.
	Input  io.WriteCloser
	Output io.Reader
	// PID is the service's process on this host, the root of its tree. It is 0
	// when unknown, and PIDUnknown says why.
	PID        int
	PIDUnknown string
	// Model is what the service says it serves, empty when it does not say.
	Model string
	// Planted is the bottleneck that a reference service was started with.
	Planted string
}

// Redacted returns the URL as it may be printed and kept.
func (e Endpoint) Redacted() string {
	if e.Input != nil || e.Directory != "" {
		return e.URL // no URL in the sense of RFC 3986
	}
	parsed, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	return parsed.Redacted()
}
