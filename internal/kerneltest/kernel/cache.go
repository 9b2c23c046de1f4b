package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrUnavailable is wrapped by every error that says that this machine cannot provide a kernel or a shell: no apt, no network, no such package.
var ErrUnavailable = errors.New("not available on this machine")

// seriesForm is what a series looks like: major and minor version.
var seriesForm = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)

// Names of the files of one release in the cache.
const (
	bootImage  = "vmlinuz"
	buildTable = "config"
)

// Image is one kernel that can be booted.
type Image struct {
	Series  string // "6.1", as it was asked for
	Release string // "6.1.0-56-cloud-amd64", what uname -r says once it runs
	Vmlinuz string // path of the compressed boot image
	Config  string // path of the configuration it was built with (Kconfig's NAME=VALUE lines)
}

// Cache keeps kernels under Dir, one folder for each release. Log gets a line for each download; nil discards them.
// Two processes may use the same folder: a release appears there whole or not at all.
type Cache struct {
	Dir string
	Log io.Writer
}

// DefaultDir returns narrows/kernels in the user's cache folder (os.UserCacheDir).
func DefaultDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder for kernels: %w", err)
	}
	return filepath.Join(dir, "narrows", "kernels"), nil
}

// Find returns the newest kernel of the series that is in the cache, or else downloads the newest that Debian has. With refresh set it always asks Debian.
func (c Cache) Find(ctx context.Context, series string, refresh bool) (Image, error) {
	if !seriesForm.MatchString(series) {
		return Image{}, fmt.Errorf("finding a kernel: %q is not a series such as 6.1", series)
	}
	if !refresh {
		if image, ok := c.cached(series); ok {
			return image, nil
		}
	}
	pattern := regexp.MustCompile(`^linux-image-(` + regexp.QuoteMeta(series) + `\.[0-9].*-cloud-amd64)$`)
	wanted := func(name string) string {
		switch {
		case strings.HasPrefix(name, "boot/vmlinuz-"):
			return bootImage
		case strings.HasPrefix(name, "boot/config-"):
			return buildTable
		}
		return ""
	}
	folder := func(name string) string { return pattern.FindStringSubmatch(name)[1] }
	if err := c.fetch(ctx, pattern, folder, wanted, []string{bootImage, buildTable}); err != nil {
		return Image{}, fmt.Errorf("finding a %s cloud kernel: %w", series, err)
	}
	image, ok := c.cached(series)
	if !ok {
		return Image{}, fmt.Errorf("finding a %s cloud kernel: the unpacked package is not in %s", series, c.Dir)
	}
	return image, nil
}

// cached returns the newest complete release of the series in the cache's folder.
func (c Cache) cached(series string) (Image, bool) {
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return Image{}, false
	}
	var releases []string
	for _, entry := range entries {
		release := entry.Name()
		if strings.HasPrefix(release, series+".") && isFile(filepath.Join(c.Dir, release, bootImage)) && isFile(filepath.Join(c.Dir, release, buildTable)) {
			releases = append(releases, release)
		}
	}
	if len(releases) == 0 {
		return Image{}, false
	}
	release := newest(releases)
	return Image{
		Series: series, Release: release,
		Vmlinuz: filepath.Join(c.Dir, release, bootImage),
		Config:  filepath.Join(c.Dir, release, buildTable),
	}, true
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}
