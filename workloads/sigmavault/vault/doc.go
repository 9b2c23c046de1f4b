// Package vault is an encrypted, durable store of reusable semantic units (RSUs):
// compressed contexts together with their KV caches.
//
// A [Unit] goes in through [Vault.Put], which scatters its content into chunks of
// 64 KiB, seals each with AES-256-GCM, and returns once the unit is on disk; it
// comes back whole through [Vault.Get] or chunk by chunk through [Vault.Chunk].
// What was sealed under another key, changed on disk or moved to another place is
// an error that wraps [ErrDamaged], never wrong bytes. A Put that returned outlives
// the process and the machine; one that did not is there whole or not at all.
//
// Units lie in one file of the engine bbolt. Writers that come while others are
// being flushed are flushed together, so that they share the wait for the disk.
// Decrypted chunks are kept in a cache of bounded size.
//
// Names, sizes and the time of writes are visible to whoever reads the files, and
// one who can write them can put an older state back; nothing else is promised
// against either.
package vault
