// Package mcp speaks the Model Context Protocol, version 2024-11-05, as far as
// calling tools needs it: JSON-RPC 2.0, one message a line, over a child process's
// standard input and output. [Client] drives a service that speaks it, [Serve] is
// one.
//
// A client calls a tool by a request and gets what the tool says as text. A service
// may answer in any order, and may say what nobody asked for in between.
package mcp
