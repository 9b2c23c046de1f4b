package metrics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxDocument bounds a document that is read, in bytes; real ones are a few
// kilobytes.
const maxDocument = 1 << 20

// Encode returns the document as indented JSON with its keys in a stable order
// and a newline at the end. An invalid document is refused.
func (d *Document) Encode() ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("checking the metrics of %s: %w", d.Benchmark, err)
	}
	whole := *d
	whole.Metrics = orEmpty(d.Metrics)
	whole.Unavailable = orEmpty(d.Unavailable)
	whole.CI = orEmpty(d.CI)
	whole.Errors = orEmpty(d.Errors)
	if whole.Targets == nil {
		whole.Targets = []Target{}
	}
	encoded, err := json.MarshalIndent(&whole, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the metrics of %s: %w", d.Benchmark, err)
	}
	return append(encoded, '\n'), nil
}

// orEmpty keeps a map without entries from becoming null, which the schema
// reserves for metrics.
func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// WriteFile writes the document to path with mode 0600. The content is written
// beside path, flushed to disk and renamed, so a reader sees the whole document
// or none.
func (d *Document) WriteFile(path string) (err error) {
	encoded, err := d.Encode()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing the metrics of %s: %w", d.Benchmark, err)
		}
	}()
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(encoded)
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// ReadFile reads and validates a document. Files over 1 MiB, unknown fields and
// anything after the object are errors.
func ReadFile(path string) (*Document, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer file.Close()
	document, err := Decode(file)
	if err != nil {
		return nil, fmt.Errorf("reading metrics from %s: %w", path, err)
	}
	return document, nil
}

// Decode reads one document and nothing else from r, with the checks of
// [ReadFile].
func Decode(r io.Reader) (*Document, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxDocument {
		return nil, fmt.Errorf("larger than %d bytes", maxDocument)
	}
	document := new(Document)
	if err := decodeStrict(content, document); err != nil {
		return nil, err
	}
	if err := document.Validate(); err != nil {
		return nil, err
	}
	return document, nil
}

func decodeStrict(content []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
