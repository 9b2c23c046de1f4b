// Package kernel provides the Linux images and the shell that test machines boot, without installing anything.
//
// A [Cache] is asked for a series ("6.1") and answers with an [Image]: the newest Debian cloud kernel of that series, its boot image and its configuration. It looks in
// its folder first, and only then asks apt: with the machine's own package lists, then with lists of its own that it updates from the machine's own sources, then with
// further Debian releases on the same mirror. Packages are downloaded (apt checks their signatures) and the few files needed are copied out; they are never installed,
// and nothing outside the cache's folder is written. Whatever cannot be had is an error that is [ErrUnavailable], so that a caller can skip with the reason.
package kernel
