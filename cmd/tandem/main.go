// Command tandem moves a live Redis or Valkey keyspace to another server without downtime.
//
// Each subcommand is one file: it reads its flags, builds what it needs, runs it, and returns an error;
// exit.go says which exit status an error is.
package main

//go:generate go test . -run TestReferenceIsCurrent -update

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
