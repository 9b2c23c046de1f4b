package main

type benchCommand struct{}

func (c *benchCommand) Run() error { return nil }
