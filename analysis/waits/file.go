package waits

import (
	"encoding/json"
	"errors"
	"fmt"
)

// FileName is the session's file that holds the [Document].
const FileName = "waits.json"

// Encode is the document as it is written.
func (d *Document) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", FileName, err)
	}
	return append(data, '\n'), nil
}

// Decode reads a document, and refuses numbers that cannot be.
func Decode(data []byte) (*Document, error) {
	d, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", FileName, err)
	}
	return d, nil
}

func decode(data []byte) (*Document, error) {
	var version struct {
		SchemaVersion int `json:"schema_version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, err
	}
	if version.SchemaVersion != SchemaVersion {
		return nil, fmt.Errorf("its schema version is %d, and this narrows reads %d", version.SchemaVersion, SchemaVersion)
	}
	d := new(Document)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, err
	}
	for _, c := range d.Chains {
		if len(c.Hops) == 0 {
			return nil, errors.New("a chain has no hop")
		}
	}
	for _, l := range d.Locks {
		if l.TotalNS < 0 || l.IdleNS < 0 || l.Waits < 0 || l.Acquisitions < 0 {
			return nil, fmt.Errorf("the lock %q was waited for less than never", l.ID)
		}
	}
	return d, nil
}
