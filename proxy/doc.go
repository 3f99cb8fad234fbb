// Package proxy carries clients' bytes to the primary and back, and the effects of their writes to the
// secondary: listener, sessions, lanes.
//
//	client ──► session ──► submit ────────► lane ──► primary
//	   ▲        (guard,                       │
//	   │         router)                      │ replies, in execution order
//	   └────────────── output ◄───────────────┤
//	                                          ▼
//	                                   ledger: effect or copy?
//	                                          │ effect
//	                                          ▼
//	                                     EffectLane ──► secondary
//
// Lanes are per account, protocol and database (laneKey), so the primary's rules for a user hold, and no command
// that changes any of these is ever slipped in between. A session that the server must keep something for (an open
// transaction, WATCH, subscriptions, CLIENT TRACKING, MONITOR, a command that blocks) has a lane of its own as long
// as there is a reason (pins); what comes there that no command asked for is pushed to it as it is.
//
//	turn.go                           a session's part of a loop's round
//	input.go output.go memory.go      a client's bytes, and the bound on those of all clients together
//	account.go login.go permit.go     who may in, in whose name, and what it may have answered by the proxy
//	pin.go standing.go standby.go     lanes of a session's own, and how they move to another primary
//	transaction.go                    MULTI to EXEC
//	queued.go queuedlogin.go          what concerns the session within a transaction, queued
//	outcome.go execreply.go           ... and executed: EXEC's reply, read and answered
//	blocking.go line.go takeback.go   commands that wait, and how a hold takes them back and issues them again
//	lastid.go                         what "$" stands for, of those that wait for new entries of a stream
//	twoway.go takers.go               clients at both instances, and those of them who wait for something to take
//	crowd.go crowdwatch.go            readers of a stream's group, who wait in the proxy
//	pubsub.go tracking.go             messages and invalidations
//	clientcmd.go                      CLIENT and MONITOR
//	roster.go clientfilter.go         who is connected, and how clients choose among those
//	script.go scriptexpiry.go libraries.go strangers.go  scripts and functions: repeated, copied, unknown
//	busy.go                           a script that runs too long, and those behind it
//	idle.go                           lanes that nobody uses any more
//	experience.go                     what clients get: answers, errors, late ones
//	feed.go feeds.go feedrounds.go namesakes.go  reports of keys that no lane has changed
//	learn.go                          commands that the table does not have
//	shadow.go                         clients' reads that are compared on both servers
//	traces.go                         what has become of some commands, for traces
//	silence.go anew.go same.go refusal.go  servers in trouble: connections that are dead without a word, a secondary that refuses
//
// A session reads a client's commands and puts them on its lane; it never waits for replies. A lane is one connection to
// the primary; its reader takes the replies, has the ledger judge each write, and hands the bytes to the clients without
// ever waiting for one. Whoever has appended to a lane writes it out, if nobody is doing so already.
//
// Sessions and readers have no goroutine: a loop (internal/loop) gives each its turn when there is something to read, and
// what a round of turns has put on a lane goes out at its end. A turn that must wait steps aside first (s.turn), and is a
// goroutine from then on, until its end. Where a connection is encrypted, it has a goroutine all the time, and no turns.
//
// # What orders
//
// A command is put on a lane, and the ledger asked whether it may, in one critical section (the shard's
// lock, which is the ledger's). A reply is judged, its effect appended to the EffectLane and its stripes
// released in one such section too. So the lane's order is the primary's order of execution, and the order
// in which effects reach the secondary (invariants I1 and I2 of the ledger).
//
// A session's replies come in the order of its commands because it uses one lane at a time and changes it
// only when nothing of its own is on the way (session.awaitAnswers). Replies that the proxy gives itself ride the
// lane's queue.
//
// # Locks
//
// The shard's lock comes first. A session's output lock is taken inside it at most, or that of the server's list of
// sessions; no lock is taken inside these. Nothing blocks under the shard's lock: sockets are written outside it, or without waiting.
// A panic under it ends the process. So what takes the lock is not deferred where one may come with the lock held, and
// those above whom somebody recovers, or has deferred it all the same, take it by ledger.Enter.
package proxy
