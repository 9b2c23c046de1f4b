module goleak

go 1.20
