module goprogram

go 1.20
