module goheap

go 1.20
