package debuginfod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

var (
	// ErrNotFound says that no server has a debug file, or that none is to be asked any
	// more.
	ErrNotFound = errors.New("no server has the debug file")
	// ErrRefused says that what a server sent is not what was asked for.
	ErrRefused = errors.New("not the debug file that was asked for")
)

// Config says whom to ask and what that may cost.
type Config struct {
	URLs   []string // of servers, asked in this order; http or https
	Folder string   // where files are kept; created, for its owner only

	MaxFile   int64         // bytes of one file; 0 means 1 GiB
	MaxFolder int64         // bytes of all files kept; 0 means 4 GiB
	Timeout   time.Duration // of one file from one server; 0 means 30 s
	Budget    time.Duration // of all files together; 0 means 2 minutes
}

// A Client fetches debug files. It may be used by several goroutines, one of which
// fetches at a time.
type Client struct {
	config Config
	folder *folder
	http   *http.Client

	mu      sync.Mutex
	missing map[string]bool // build IDs that no server has
	spent   time.Duration
	broken  map[string]error // servers that could not be reached
}

// New checks the configuration and opens the folder. Close it.
func New(c Config) (*Client, error) {
	for _, u := range c.URLs {
		parsed, err := url.Parse(u)
		if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
			return nil, fmt.Errorf("debuginfod server %q: use a URL such as https://debuginfod.example.org", u)
		}
	}
	defaults(&c)
	f, err := openFolder(c.Folder)
	if err != nil {
		return nil, err
	}
	return &Client{
		config: c, folder: f, missing: map[string]bool{}, broken: map[string]error{},
		// Redirections stay within the same rules: only http and https are followed.
		http: &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()},
	}, nil
}

func defaults(c *Config) {
	if c.MaxFile <= 0 {
		c.MaxFile = 1 << 30
	}
	if c.MaxFolder <= 0 {
		c.MaxFolder = 4 << 30
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Budget <= 0 {
		c.Budget = 2 * time.Minute
	}
}

// Close ends idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.folder.close()
}

// Fetch returns the debug file of a build ID, in lower-case hexadecimal digits, and its
// size: from the folder, or else from the first server that has it. The caller closes
// it. The error wraps ErrNotFound where there is none, ErrRefused, binary.ErrTooLarge,
// or says what went wrong.
func (c *Client) Fetch(ctx context.Context, buildID string) (*os.File, int64, error) {
	if !validID(buildID) {
		return nil, 0, fmt.Errorf("build ID %q: %w", buildID, ErrNotFound)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, size, err := c.folder.open(buildID); err == nil {
		return f, size, nil
	}
	if c.missing[buildID] {
		return nil, 0, fmt.Errorf("build ID %s: %w", buildID, ErrNotFound)
	}
	failures := []error{fmt.Errorf("build ID %s: %w", buildID, ErrNotFound)}
	for _, server := range c.config.URLs {
		if c.broken[server] != nil || c.spent >= c.config.Budget {
			continue
		}
		start := time.Now()
		err := c.download(ctx, server, buildID)
		c.spent += time.Since(start)
		if err == nil {
			return c.folder.open(buildID)
		}
		failures = append(failures, fmt.Errorf("%s: %w", server, err))
	}
	c.missing[buildID] = true
	return nil, 0, errors.Join(failures...)
}

// validID reports whether a build ID is one that a linker writes, which also makes it
// safe in paths and URLs.
func validID(id string) bool {
	return len(id) >= 8 && len(id) <= 128 && len(id)%2 == 0 && strings.Trim(id, "0123456789abcdef") == ""
}

// download puts a file into the folder.
func (c *Client) download(ctx context.Context, server, buildID string) error {
	ctx, cancel := context.WithTimeout(ctx, min(c.config.Timeout, c.config.Budget-c.spent))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(server, "/")+"/buildid/"+buildID+"/debuginfo", nil)
	if err != nil {
		return err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		c.broken[server] = err // whoever cannot be reached once is not waited for again
		return err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusNotFound:
		return ErrNotFound
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("it answers %s", answer.Status)
	case answer.ContentLength > c.config.MaxFile:
		return fmt.Errorf("%d bytes: %w", answer.ContentLength, binary.ErrTooLarge)
	}
	return c.folder.add(buildID, c.config.MaxFolder, func(f *os.File) error {
		n, err := io.Copy(f, io.LimitReader(answer.Body, c.config.MaxFile+1))
		if err != nil {
			return fmt.Errorf("receiving %d bytes: %w", n, err)
		}
		if n > c.config.MaxFile {
			return fmt.Errorf("more than %d bytes: %w", c.config.MaxFile, binary.ErrTooLarge)
		}
		return verify(f, n, buildID)
	})
}

// verify checks that a file has the build ID.
func verify(f *os.File, size int64, buildID string) error {
	file, err := binary.Open(f, size)
	if err != nil {
		return errors.Join(ErrRefused, err)
	}
	if !file.HasBuildID(buildID) {
		return fmt.Errorf("it has build ID %s: %w", file.BuildID(), ErrRefused)
	}
	return nil
}
