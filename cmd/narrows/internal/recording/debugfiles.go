package recording

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/debuginfod"
)

// An Option changes how a recording is made.
type Option func(*Recording)

// WithServers lets debug files that this host does not have be fetched from servers,
// and closes the client when the recording is over.
func WithServers(client *debuginfod.Client) Option {
	return func(r *Recording) { r.servers = client }
}

// Servers makes a client of debuginfod servers that keeps files in the user's cache
// folder; nil without URLs.
func Servers(urls []string) (*debuginfod.Client, error) {
	if len(urls) == 0 {
		return nil, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding a folder for debug files: %w", err)
	}
	return debuginfod.New(debuginfod.Config{URLs: urls, Folder: filepath.Join(cache, "narrows", "debuginfod")})
}

// debugFiles gives the symbolizer the debug files that the collector holds open, and
// fetches others where a user allowed it.
type debugFiles struct {
	ctx       context.Context
	collector *collector.Collector
	servers   *debuginfod.Client // nil if none may be asked
}

func (d debugFiles) DebugFile(m *profile.Mapping, want binary.DebugLink) (io.ReaderAt, int64, error) {
	r, size, err := d.collector.DebugFile(m)
	if err == nil || d.servers == nil || want.BuildID == "" {
		return r, size, err
	}
	f, size, err := d.servers.Fetch(d.ctx, want.BuildID)
	if err != nil {
		return nil, 0, err // and not a reader that is no file
	}
	return f, size, nil
}

// Supplement gives the symbolizer the supplementary file that the collector holds open.
func (d debugFiles) Supplement(m *profile.Mapping, _ binary.SupplementLink) (io.ReaderAt, int64, error) {
	return d.collector.Supplement(m)
}
