// Package session owns the folder that a recording leaves behind: which files
// it has, how each is written so that none is ever half there, and how they are
// read back.
//
// A recorder calls [Create], hands over one pprof profile for each signal and
// ten-second window ([Writer.WriteWindow]), any other file by name
// ([Writer.Create]), and ends with [Writer.Finish], which adds the windows up
// to the session's profiles and completes session.json. Everything that judges
// a recording calls [Open] and works on [Session.Profile], [Session.Windows]
// and [Session.Metrics]; it needs neither root nor the recording host.
//
//	session.json               what was recorded, where, and what was lost
//	cpu.pb.gz ...              one profile for each signal: the sum of its windows
//	windows/0000/cpu.pb.gz ... the same profiles, window by window
//	metrics/<Benchmark>.json   the outcome of each benchmark
//	requests/<Benchmark>.ndjson, profiles/<service>.json, flame/<service>.svg, reports
//
// Every file is written under a temporary name in its own folder, synced and
// renamed, so a crash or a full disk leaves either the whole file or none. The
// folder has mode 0700, its files 0600; both belong to the user who called
// sudo. While a writer lives it holds a lock (flock) on the folder, so that a
// reader can tell a recording that is under way from one whose writer died.
package session
