// Package server is the reference service for text compression: the codec of
// package glyph, over HTTP and as a tool of the Model Context Protocol.
//
// Over HTTP it answers GET /health and
//
//	POST /api/v1/encode  {"text": "..."}
//	  {"success": true, "encoded": "53...", "encoding": "hex", "original_size": 9,
//	   "compressed_size": 30, "compression_ratio": 0.3}
//	POST /api/v1/decode  {"encoded": "53..."}
//	  {"success": true, "text": "..."}
//
// Sizes are in bytes, of the text in UTF-8 and of what the hexadecimal digits stand
// for; the ratio is the former by the latter. What goes wrong is told as
// {"success": false, "error": "..."} with the HTTP status that says so.
//
// As a tool (see package mcp) there are sigma_encode {"text"} and sigma_decode
// {"encoded_hex"}, whose results are the same objects without "success".
//
// A command fills [Options] and calls [Options.Run] or [Options.RunTool]; a test
// calls [New] and uses the handler.
package server
