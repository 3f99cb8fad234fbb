// Package conformance shows that no client can tell the proxy from the server behind it.
//
// Scenarios are data: scenarios/*.txt, in the form that scenario.go describes. Each is played straight against
// a server and then through a running program in every phase, in RESP2 and RESP3. What a client received is
// compared byte for byte, but for exceptions that the line names (a time, a random member), and both keyspaces
// are compared once everything has settled.
//
//	scenarios/*.txt ──► Load ──► Player ──► server            ──► Transcript ──┐
//	        │                      └──────► proxy, in a phase ──► Transcript ──┴─► Diff
//	        ├─► Derive: each command once more, with keys missing, of other types, and arguments too few,
//	        │           too many and wrong
//	        ├─► Coverage: every command that a server knows, or the reason in left_out.txt
//	        └─► Generator: random conversations, in every phase and over cutovers and rollbacks, or with all
//	            sessions at once; what fails is shrunk and kept under scenarios/found
//
// Scenarios are played in batches, each in a database of its own, so that a batch needs one comparison of the
// keyspaces, and the database of a difference names its scenario. Those that touch more than their database
// are marked [alone]: everything is flushed before them. What is answered differently and is known to be stands
// in exceptions.txt, with the reason; every run prints it.
//
// The package shares no code with the program but the command table, which says what is to be covered.
package conformance
