// A library for arm64 that calls functions of others.
	.text
	.global caller
	.type caller, %function
caller:
	stp x29, x30, [sp, #-16]!
	bl first_function
	bl second_function
	bl third_function
	ldp x29, x30, [sp], #16
	ret
	.size caller, . - caller
