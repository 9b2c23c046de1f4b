// Package server is the reference service for encrypted storage: a vault of reusable
// semantic units (RSUs) behind a small HTTP interface.
//
//	PUT    /rsus/{id}             store the body under an ID, in place of what is there
//	POST   /rsus                  the same under an ID of the server's choice
//	GET    /rsus/{id}             the content; its record is in the header Rsu-Record
//	GET    /rsus/{id}/record      the record alone
//	GET    /rsus/{id}/chunks/{n}  one chunk of the content, from 0
//	DELETE /rsus/{id}             remove a unit
//	GET    /rsus?after=ID&limit=N records in the order of their IDs
//	POST   /cache/drop?rsu_id=ID  make the next read of a unit, or of all, a cold one
//	GET    /stats                 what was stored, flushed and found in the cache
//	GET    /health                whether it is there
//
// A body is a unit's glyph stream followed by its KV cache, application/octet-stream;
// the rest of the unit is in the query: semantic_hash, original_token_count,
// compressed_glyph_count, and kv_cache_bytes, how much of the body's end is KV cache.
// PUT, POST and DELETE answer once the change is on disk. Answers other than content
// are JSON objects with "success"; where that is false, the status says so too and
// "error" has a code and a message.
//
// With a directory given, the same units are files there, as package mount has it.
//
// A command fills [Options] and calls [Options.Run]; a test calls [New] with a
// [Config] and [Server.Serve] with a listener of its own.
package server
