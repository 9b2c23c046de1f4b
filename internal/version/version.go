// Package version knows which Narrows this is.
package version

import "runtime/debug"

// version is set by the Makefile from git.
var version string

// String is the version: what the build was told, else the module's, else "unknown".
func String() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "unknown"
}
