package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// source is one way to ask apt: options that every command gets, and what makes its lists ready.
type source struct {
	name    string
	options []string
	prepare func(ctx context.Context, options []string) error
}

// fetch downloads the newest package whose name matches pattern, and keeps in the cache's folder(package) those of its files that wanted gives a name to; all of the
// names in required must be among them.
func (c Cache) fetch(ctx context.Context, pattern *regexp.Regexp, folder, wanted func(string) string, required []string) error {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: %s, which downloads it from Debian, is not installed", ErrUnavailable, tool)
		}
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("making the folder for kernels: %w", err)
	}
	work, err := os.MkdirTemp(c.Dir, ".download-")
	if err != nil {
		return fmt.Errorf("making a folder for the download: %w", err)
	}
	defer os.RemoveAll(work)

	var failures []error
	for _, from := range c.sources(work) {
		err := c.fetchFrom(ctx, from, work, pattern, folder, wanted, required)
		if err == nil || ctx.Err() != nil {
			return err
		}
		failures = append(failures, fmt.Errorf("with %s: %w", from.name, err))
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(failures...))
}

// fetchFrom does fetch's work with one source.
func (c Cache) fetchFrom(ctx context.Context, from source, work string, pattern *regexp.Regexp, folder, wanted func(string) string, required []string) error {
	if from.prepare != nil {
		if err := from.prepare(ctx, from.options); err != nil {
			return err
		}
	}
	listed, err := apt(ctx, work, "apt-cache", from.options, "search", "--names-only", pattern.String())
	if err != nil {
		return err
	}
	var names []string
	for line := range strings.Lines(listed) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); pattern.MatchString(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("no package is called %s", pattern)
	}
	name := newest(names)
	if c.Log != nil {
		fmt.Fprintf(c.Log, "downloading %s with %s\n", name, from.name)
	}
	if _, err := apt(ctx, work, "apt-get", from.options, "download", name); err != nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(work, name+"_*.deb"))
	if err != nil || len(packages) != 1 {
		return fmt.Errorf("apt-get left %d packages called %s, not 1", len(packages), name)
	}
	unpacked := filepath.Join(work, "unpacked")
	if err := unpack(ctx, packages[0], unpacked, wanted); err != nil {
		return err
	}
	for _, file := range required {
		if !isFile(filepath.Join(unpacked, file)) {
			return fmt.Errorf("%s holds no file to be kept as %s", name, file)
		}
	}
	target := filepath.Join(c.Dir, folder(name))
	if err := os.Rename(unpacked, target); err != nil {
		// Another process, or an earlier run that was asked for the same release, may have put it there already.
		for _, file := range required {
			if !isFile(filepath.Join(target, file)) {
				return fmt.Errorf("keeping %s: %w", name, err)
			}
		}
	}
	return nil
}

// sources lists the ways to ask apt, the cheapest first. Lists and settings of the last two lie in work and are gone after the download.
func (c Cache) sources(work string) []source {
	own := []string{
		"Dir::State::Lists=" + filepath.Join(work, "lists"),
		"Dir::Cache=" + filepath.Join(work, "cache"),
		// apt's download user cannot enter a folder below a private home; signatures are checked all the same.
		"APT::Sandbox::User=",
	}
	update := func(ctx context.Context, options []string) error {
		for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
			if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
				return fmt.Errorf("making a folder for package lists: %w", err)
			}
		}
		_, err := apt(ctx, work, "apt-get", options, "update")
		return err
	}
	parts := filepath.Join(work, "sources")
	further := append([]string{"Dir::Etc::SourceList=/dev/null", "Dir::Etc::SourceParts=" + parts}, own...)
	return []source{
		{name: "this machine's package lists", options: own[2:]},
		{name: "freshly updated lists of this machine's package sources", options: own, prepare: update},
		{name: "further Debian releases on this machine's mirror", options: further, prepare: func(ctx context.Context, options []string) error {
			if err := writeFurtherSources(ctx, own, work, parts); err != nil {
				return err
			}
			return update(ctx, options)
		}},
	}
}

// furtherSuites are the Debian releases that carry the kernels Narrows is tested on: 6.1 is bookworm's, 6.12 trixie's, which bookworm-backports has too.
var furtherSuites = []string{"bookworm", "bookworm-backports", "trixie"}

// writeFurtherSources writes a package source for each of furtherSuites, at the address from which this machine takes Debian's packages. The options name the updated lists of the
// machine's own sources, since apt knows a source's origin from its list only.
func writeFurtherSources(ctx context.Context, options []string, work, parts string) error {
	targets, err := apt(ctx, work, "apt-get", options, "indextargets", "--format", "$(CREATED_BY)\t$(ORIGIN)\t$(LABEL)\t$(COMPONENT)\t$(REPO_URI)")
	if err != nil {
		return err
	}
	var address string
	for line := range strings.Lines(targets) {
		field := strings.Split(strings.TrimSpace(line), "\t")
		if len(field) == 5 && field[0] == "Packages" && field[1] == "Debian" && field[2] == "Debian" && field[3] == "main" {
			address = field[4]
			break
		}
	}
	if address == "" {
		return errors.New("apt knows no mirror of Debian's main archive")
	}
	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	var text strings.Builder
	for _, suite := range furtherSuites {
		fmt.Fprintf(&text, "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: amd64\nSigned-By: %s\n\n", address, suite, keyring)
	}
	if err := os.MkdirAll(parts, 0o755); err != nil {
		return fmt.Errorf("making a folder for package sources: %w", err)
	}
	if err := os.WriteFile(filepath.Join(parts, "further.sources"), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("writing the further package sources: %w", err)
	}
	return nil
}

// apt runs one of apt's programs in the folder dir and returns what it printed. The error holds the end of what it complained about.
func apt(ctx context.Context, dir, program string, options []string, args ...string) (string, error) {
	var all []string
	for _, option := range options {
		all = append(all, "-o", option)
	}
	cmd := exec.CommandContext(ctx, program, append(all, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s %s: %w: %s", program, args[0], err, lastLines(complaints.String(), 3))
	}
	return out.String(), nil
}

// lastLines returns the last n lines of text, joined by "; ".
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
