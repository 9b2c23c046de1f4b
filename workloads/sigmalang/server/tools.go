package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/narrows-profiler/narrows/workloads/mcp"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/glyph"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/object"
)

// encoded is what sigma_encode answers.
type encoded struct {
	Encoded          string  `json:"encoded"`
	Encoding         string  `json:"encoding"`
	OriginalSize     int     `json:"original_size"`
	CompressedSize   int     `json:"compressed_size"`
	CompressionRatio float64 `json:"compression_ratio"`
}

// tools are the service's, with a codec.
func tools(codec *glyph.Codec) []mcp.Tool {
	return []mcp.Tool{
		{
			Name: "sigma_encode", Description: "Compresses text without loss; the result is hexadecimal.",
			InputSchema: argument("text"),
			Call: func(ctx context.Context, arguments json.RawMessage) (any, error) {
				text, err := only(arguments, "text")
				if err != nil {
					return nil, err
				}
				frame, err := codec.Encode(ctx, nil, text)
				if err != nil {
					return nil, err
				}
				return encoded{hex.EncodeToString(frame), "hex", len(text), len(frame), float64(len(text)) / float64(len(frame))}, nil
			},
		},
		{
			Name: "sigma_decode", Description: "Gives back the text that sigma_encode compressed.",
			InputSchema: argument("encoded_hex"),
			Call: func(ctx context.Context, arguments json.RawMessage) (any, error) {
				digits, err := only(arguments, "encoded_hex")
				if err != nil {
					return nil, err
				}
				frame, err := hex.DecodeString(string(digits))
				if err != nil {
					return nil, fmt.Errorf("encoded_hex: %w", err)
				}
				text, err := codec.Decode(ctx, nil, frame)
				if err != nil {
					return nil, err
				}
				if !utf8.Valid(text) {
					return nil, errors.New("encoded_hex: what it holds is not UTF-8")
				}
				return map[string]string{"text": string(text)}, nil
			},
		},
	}
}

// argument is the JSON Schema of an object with one string.
func argument(name string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"type":"object","properties":{%q:{"type":"string"}},"required":[%q]}`, name, name))
}

// only returns an argument that is a string.
func only(arguments json.RawMessage, name string) ([]byte, error) {
	members, err := object.Members(arguments)
	if err != nil {
		return nil, fmt.Errorf("the arguments: %w", err)
	}
	return text(nil, members, name)
}
