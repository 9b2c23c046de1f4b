# Code whose frames are described in each way that a table can be asked about. It
# never runs: only what the assembler makes of the descriptions is looked at.
#ifdef DEBUG_FRAME
	.cfi_sections .debug_frame
#endif
	.text

	.globl	plain, plain_pushed, plain_saved, plain_changed, plain_kept
	.globl	plain_popped, plain_again, plain_end
plain:
	.cfi_startproc
	nop
plain_pushed:
	.cfi_adjust_cfa_offset 8
	nop
plain_saved:
	.cfi_rel_offset rbp, 0
	nop
plain_changed:
	.cfi_def_cfa_register rbp
	nop
plain_kept:
	.cfi_remember_state
	.cfi_escape 0x2e, 0x10		# GNU_args_size 16
	nop
plain_popped:
	.cfi_def_cfa rsp, 8
	.cfi_restore rbp
	nop
plain_again:
	.cfi_restore_state
	nop
	.cfi_endproc
plain_end:
	.skip	64, 0x90

	.globl	root
root:
	.cfi_startproc
	.cfi_undefined rip
	nop
	.cfi_endproc

	# Too far for a row, and not in words.
	.globl	far, odd, far_saved
far:
	.cfi_startproc
	.cfi_def_cfa_offset 1048584
	nop
odd:
	.cfi_def_cfa_offset 12
	nop
far_saved:
	.cfi_def_cfa_offset 4104
	.cfi_offset rbp, -4104
	nop
	.cfi_endproc

	.globl	other_register, dereferenced, dereferenced_after, frame_pointer_at_itself
	.globl	realigned, given_up, sum, saved_in_register, returned_by_register
other_register:
	.cfi_startproc
	.cfi_def_cfa r10, 0
	nop
frame_pointer_at_itself:
	.cfi_escape 0x10, 6, 2, 0x76, 0	# rbp: at breg6 0
	nop
realigned:
	.cfi_escape 0x0f, 3, 0x76, 0x78, 6	# cfa: breg6 -8, deref
	nop
given_up:
	.cfi_def_cfa rsp, 8
	nop
	.cfi_endproc

dereferenced:
	.cfi_startproc
	.cfi_escape 0x0f, 4, 0x77, 0xc0, 0, 6	# cfa: breg7 64, deref
	nop
dereferenced_after:
	.cfi_escape 0x0f, 5, 0x77, 40, 6, 0x23, 8	# cfa: breg7 40, deref, plus 8
	.cfi_offset rbp, -24
	nop
sum:
	.cfi_escape 0x0f, 5, 0x77, 8, 0x70, 0, 0x22	# cfa: breg7 8, breg0 0, plus
	nop
	.cfi_endproc

saved_in_register:
	.cfi_startproc
	.cfi_register rbp, r9
	nop
	.cfi_endproc
returned_by_register:
	.cfi_startproc
	.cfi_register rip, rdi
	nop
	.cfi_endproc

	# A linkage table's entry: breg7 8, breg16 0, lit15, and, lit11, ge, lit3, shl, plus.
	.globl	linkage, almost_linkage
linkage:
	.cfi_startproc
	.cfi_escape 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22
	nop
almost_linkage:
	.cfi_escape 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x32, 0x24, 0x22	# shifted by 2
	nop
	.cfi_endproc

	# What the C library says of the code that signal handlers return to, and code
	# that is marked like it and is not.
	.globl	restorer, marked
restorer:
	.cfi_startproc
	.cfi_signal_frame
	.cfi_escape 0x0f, 4, 0x77, 0xa0, 1, 6	# cfa: breg7 160, deref
	.cfi_escape 0x10, 16, 3, 0x77, 0xa8, 1	# rip: at breg7 168
	.cfi_escape 0x10, 6, 3, 0x77, 0xf8, 0	# rbp: at breg7 120
	nop
	.cfi_endproc
marked:
	.cfi_startproc
	.cfi_signal_frame
	.cfi_def_cfa_offset 24
	nop
	.cfi_endproc

	.section .note.GNU-stack, "", @progbits
