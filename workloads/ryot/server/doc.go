// Package server is the reference service for language-model inference: the
// engine of package llama behind the HTTP interface that OpenAI's API made
// common, streaming included, so that whatever drives a real server drives this
// one unchanged.
//
// It answers POST /v1/chat/completions, POST /v1/completions, GET /v1/models,
// GET /v1/models/{name} and GET /health. A stream is Server-Sent Events: lines of
// "data: " with one JSON chunk each, flushed token by token, the last of them
// "data: [DONE]". Errors are OpenAI's error objects.
//
// A command fills [Options] and calls [Options.Run]; a test calls [New] with a
// [Config] and [Server.Serve] with a listener of its own.
package server
