// Package test is the end-to-end suite: the real program, between real servers, driven only through what users
// have: its command line, its listener, its admin API. What it holds is looked at over direct connections.
//
// Tests that measure nothing run beside each other, behind the others.
//
// The sizes are a tenth unless TANDEM_TEST_FULL is set. TANDEM_TEST_SEED repeats the random choices of a run;
// the first line names the seed, and a failure shows the program's status, the end of its log and its goroutines.
//
// program starts the program, wire is the suite's own client, keyspace makes and compares keyspaces,
// load drives the proxy and checks itself.
package test
