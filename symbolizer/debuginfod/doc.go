// Package debuginfod fetches separate debug files from servers that have them by build
// ID (debuginfod(8), "WEBAPI"), and keeps them in a folder.
//
// A build ID enters [Client.Fetch]; an open file leaves. What a server sends counts
// only if it is an ELF file with that build ID, of no more bytes than allowed, within
// the time allowed; names of functions are then as true as the server is. Nothing is
// asked of anybody unless URLs are given: each question tells a server which programs
// run here.
package debuginfod
