// Package service gets hold of the service a benchmark drives: [Start] runs a
// reference service as a process of its own, [Connect] reaches one that runs
// already. Both give an [Endpoint]: where it listens and, where that can be
// told, which process it is, so that its samples and its memory can be charged
// to it.
package service

import "net/url"

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
	// URL is the base of the service's address. It may hold a user and a
	// password; Redacted leaves the password out.
	URL string
	// PID is the service's process on this host, the root of its tree. It is 0
	// when unknown, and PIDUnknown says why.
	PID        int
	PIDUnknown string
	// Model is what the service says it serves, empty when it does not say.
	Model string
}

// Redacted returns the URL as it may be printed and kept.
func (e Endpoint) Redacted() string {
	parsed, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	return parsed.Redacted()
}
