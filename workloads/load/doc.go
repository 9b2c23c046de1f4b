// Package load generates requests and measures itself while doing so.
//
// A benchmark gives [Run] a [Config] and a [Send] function that performs one
// request. In an open loop requests leave on a seeded schedule whatever the
// service does, and every latency counts from the start the schedule intended,
// so a stalled service is charged for the requests it kept from leaving too
// (coordinated omission; Gil Tene, "How NOT to Measure Latency"). A closed loop
// waits for an answer before the next request; it is run on request only.
//
// What comes back is a [Result]: one [metrics.Request] for each request, how
// many were in flight, how late the generator itself was, and what it cost.
package load
