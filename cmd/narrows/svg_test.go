package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"
)

// checkSVG checks that a flame graph is one well-formed SVG element.
func checkSVG(t *testing.T, content []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(content))
	root := ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("the flame graph is not well-formed: %v", err)
			return
		}
		if start, ok := token.(xml.StartElement); ok && root == "" {
			root = start.Name.Local
		}
	}
	if root != "svg" {
		t.Errorf("the flame graph's root element is %q", root)
	}
}
