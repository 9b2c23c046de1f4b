package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Interface is a way to reach a service.
type Interface string

// The interfaces, as a user names them before a colon; of URLs that is the scheme.
const (
	HTTP      Interface = "http"
	Stdio     Interface = "stdio"
	Directory Interface = "dir"
)

const (
	stdioScheme     = string(Stdio) + ":"
	directoryScheme = string(Directory) + ":"
)

// Target is a service that a user named instead of the reference service.
type Target struct {
	Service   string
	Interface Interface
	// Address is a URL, a command line or a path.
	Address string
}

// ParseTarget reads URL, stdio:COMMAND or dir:PATH, as far as the service can be
// reached so.
func ParseTarget(name, text string, accepted []Interface) (Target, error) {
	t := Target{Service: name, Interface: HTTP, Address: text}
	if command, ok := strings.CutPrefix(text, stdioScheme); ok {
		t.Interface, t.Address = Stdio, strings.TrimSpace(command)
	} else if path, ok := strings.CutPrefix(text, directoryScheme); ok {
		t.Interface, t.Address = Directory, path
	}
	if !slices.Contains(accepted, t.Interface) {
		return Target{}, fmt.Errorf("%s cannot be driven through %q: give --target %s=%s", name, text, name, forms(accepted))
	}
	if t.Address == "" {
		return Target{}, fmt.Errorf("the target of %s names nothing: give --target %s=%s", name, name, forms(accepted))
	}
	return t, nil
}

// forms says how targets of the interfaces look.
func forms(accepted []Interface) string {
	var list []string
	for _, i := range accepted {
		list = append(list, map[Interface]string{HTTP: "URL", Stdio: "stdio:COMMAND", Directory: "dir:PATH"}[i])
	}
	return strings.Join(list, " or ")
}

// Check finds out whether the target can be reached, as far as that can be told
// without running anything.
func (t Target) Check(ctx context.Context) error {
	switch t.Interface {
	case Directory:
		_, err := t.directory()
		return err
	case Stdio:
		return nil
	}
	_, err := Connect(ctx, t.Service, t.Address)
	return err
}

// Open reaches the target, or starts it; stop lets go of it.
func (t Target) Open(ctx context.Context) (endpoint Endpoint, stop func() error, err error) {
	none := func() error { return nil }
	switch t.Interface {
	case Stdio:
		tool, err := StartTool(t.Service, t.Address)
		if err != nil {
			return Endpoint{}, nil, err
		}
		return tool.Endpoint, tool.Stop, nil
	case Directory:
		endpoint, err = t.directory()
		return endpoint, none, err
	}
	endpoint, err = Connect(ctx, t.Service, t.Address)
	return endpoint, none, err
}

// directory checks that files can be made in the directory.
func (t Target) directory() (Endpoint, error) {
	path, err := filepath.Abs(t.Address)
	if err != nil {
		return Endpoint{}, fmt.Errorf("finding the directory of %s: %w", t.Service, err)
	}
	f, err := os.CreateTemp(path, "narrows-check-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return Endpoint{}, fmt.Errorf("trying the directory of %s: %w; make it, or name one that can be written with --target %s=dir:PATH", t.Service, err, t.Service)
	}
	return Endpoint{
		Service: t.Service, Kind: External, URL: directoryScheme + path, Directory: path,
		PIDUnknown: "a directory does not tell which process stands behind it",
	}, nil
}

// String is the target as it may be printed and kept: without a password.
func (t Target) String() string {
	switch t.Interface {
	case Stdio:
		return stdioScheme + t.Address
	case Directory:
		return directoryScheme + t.Address
	}
	return Endpoint{URL: t.Address}.Redacted()
}
