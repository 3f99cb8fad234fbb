// Package chaos plays campaigns of faults, each made by a seed: real clients, real servers, the real program, and
// everything that can go wrong around them.
//
//	clients ──► relay ──► program ──► relay ──► source
//	                         └──────► relay ──► target
//
// A campaign is a migration with clients of all kinds at work, from its first key on. Meanwhile every kind of fault is
// dealt in an order of chance: each relay delays, slices, throttles, swallows, resets and refuses; the program and both
// servers are killed (SIGKILL) and stopped (SIGSTOP); the servers run out of memory, end connections, and those of who is
// given large answers; the program's disk is full; the clock of one server is wrong; cutovers and rollbacks are taken
// whenever they can be. The servers are of any versions that this machine has. Then the faults end, the clients stop, and
// what is left is judged:
//
//   - Both servers hold the same, by a comparison that shares no code with the program.
//   - What a client was answered is there once, what it was refused is not there, and what it does not know is
//     there once or not at all. Each workload keeps account of its own: lists by element, streams by entry and
//     group, transactions by sum and journal, scripts by token; what is large is whole.
//   - Registers and counters have linearizable histories.
//
// Servers write each command to disk before they answer, so that a killed one keeps what it has acknowledged. What a
// server without persistence loses is not the program's to promise.
//
// What a fault has really hit is measured (bytes that passed into it, connections that ended, milliseconds that a process
// stood still), printed, and counted: a kind that has hit nothing is dealt again, and in the end fails the run.
//
// A seed decides what is dealt, and not how threads and packets meet: the same seed need not find the same twice. What a
// campaign has found has a test beside the code, at the named point; docs/reliability.md lists both.
package chaos
