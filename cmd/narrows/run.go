package main

type runCommand struct{}

func (c *runCommand) Run() error { return nil }
