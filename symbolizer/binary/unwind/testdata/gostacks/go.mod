module gostacks

go 1.20
