// Package jit follows the lists that programs write of the code they make while
// they run (/tmp/perf-PID.map, see package perfmap), because only the host that
// records can name such code, and only while it is there.
//
// Lifecycle events say which processes have executable memory without a file; a
// [Watcher] then looks for their lists once a second and reads what was appended.
// [Watcher.Name] names an address of a process at the time of a sample.
//
// # What is trusted
//
// A list is in the hands of whoever may write to the folder it is in, often
// everybody. It counts only if it is a regular file, not a link to one, owned by the
// user that the process runs as and not writable for all others, and was written to
// since the process began: an older one is of an earlier process of that number. It
// is looked for in the file system of the process and under the number that the
// process has in its own PID namespace. Even so it is no more than what the program
// says of itself.
package jit
