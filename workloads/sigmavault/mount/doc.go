// Package mount shows a vault as a directory of files, by FUSE: one file a unit, named
// by its ID, whose content is the unit's.
//
// A file that is written is kept in memory until fsync(2) or close(2) makes a unit of it,
// whole and durable; until then readers see the unit as it was. Whoever has the file open
// for writing shares one copy of it. Nothing is cached by the kernel: every read(2) is
// answered from the vault's cache or its disk. There are no folders, links or changes of
// names, and names that are no IDs are refused (EINVAL); a damaged unit is EIO. What a
// file cannot say of a unit, such as its semantic hash, is empty in one that was written
// so.
//
// Mounting takes root, or the fusermount3 program. A process that is killed leaves a mount
// that answers nobody (ENOTCONN) until it is taken away with umount(8); [Mount] does so
// with one that it finds in its place.
package mount
