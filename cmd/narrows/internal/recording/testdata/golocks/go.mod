module golocks

go 1.20
