module unprofiled

go 1.20
