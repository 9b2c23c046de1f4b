// Package kallsyms names kernel addresses by the kernel's own symbol table.
//
// The text of /proc/kallsyms enters through an io.Reader, so that whoever may
// read it can be somebody else; names leave by Lookup. A symbol ends where the
// next one of any type begins, because the kernel does not publish sizes; an
// address whose symbol has no known end has no name.
package kallsyms
