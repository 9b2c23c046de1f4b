// Package server is the reference service of an agent collective: the agents of
// package collective behind HTTP, with a bounded queue in front of a fixed number of
// workers.
//
// It answers GET /health, GET /agents, GET /agents/{CODENAME}, POST
// /agents/{CODENAME}/invoke, POST /copilot and POST /agent. The latter two route by the
// @NAMEs in the last user message, or by what it is about; /copilot asks all that are
// mentioned, /agent the first. A request is
//
//	{"messages":[{"role":"user","content":"@APEX help"}],"model":"any","stream":false}
//
// and an answer {"choices":[{"index":0,"message":{"role","content"},"finish_reason":"stop"}]},
// or, as a stream, Server-Sent Events with one chunk and then [DONE]. The header
// X-Queue-Depth tells how many tasks waited when this one came. Tasks beyond the
// queue's bound get status 503 with Retry-After.
//
// A task whose words ask for it is handed to the other services, where they are
// connected: a text is inferred by ryot, compressed by sigmalang, stored by sigmavault.
//
// A command fills [Options] and calls [Options.Run]; a test calls [New] with a
// [Config] and [Server.Serve] with a listener of its own.
package server
