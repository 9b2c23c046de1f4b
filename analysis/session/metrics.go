package session

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// Metrics reads the documents of the session's benchmarks, in the order in which they
// ran, which is the plan's.
func (s *Session) Metrics() ([]metrics.Document, error) {
	f, err := openFolder(s.dir)
	if err != nil {
		return nil, err
	}
	defer f.root.Close()
	entries, err := fs.ReadDir(f.root.FS(), metricsFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the metrics: %w", err)
	}
	var documents []metrics.Document
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		if len(documents) == maxMetricsFiles {
			return nil, fmt.Errorf("the session has more than %d metrics files", maxMetricsFiles)
		}
		name := metricsFolder + "/" + entry.Name()
		document, err := f.readMetrics(name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		documents = append(documents, *document)
	}
	slices.SortStableFunc(documents, func(a, b metrics.Document) int { return a.Timestamp.Compare(b.Timestamp) })
	return documents, nil
}

func (f *folder) readMetrics(name string) (*metrics.Document, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return metrics.Decode(file)
}
