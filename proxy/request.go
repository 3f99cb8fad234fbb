package proxy

import (
	"bytes"

	"tandem/internal/instance"
	"tandem/internal/ledger"
	"tandem/router"
)

// request is one command, or one whole transaction, between a session and its reply. It is owned by the
// session until it is on the lane, by the lane from then on, and reused.
type request struct {
	next *request // on the lane, or among the free
	sess *session
	lane *lane

	// canned is an answer of the proxy's own. Everything below is unused then.
	canned []byte

	cmd *router.Command
	// src is the command as the session read it; with take its memory goes to the lane.
	src  []byte
	take bool
	// raw is the same on the lane, in chunk.
	raw   []byte
	chunk *chunk

	// replies is how many replies go to the client, follow how many more are for the effect only: those of
	// the follow-up reads in follows.
	replies int
	follow  int
	follows []byte

	// parts are the commands of a transaction, in block: raw itself when the block travels whole, the
	// transaction's own memory when it came piecemeal (apart).
	parts []part
	block []byte
	apart bool

	// writes: the command changes data, and the ledger must be asked. planned: by what write is filled.
	writes  bool
	planned *hints
	// unkeyed: a write whose keys could not be found; the server is expected to refuse it.
	unkeyed bool
	// unnamed: it is on its way as a write of unknown keys (ledger.BeginUnnamed).
	unnamed bool
	// script: what it runs, of a script or function that was planned.
	script *scriptRun
	// acquired: the ledger has granted it.
	acquired bool
	write    ledger.Write
	keys     [2]ledger.Key

	cursor bool  // the reply begins with a SCAN cursor, to be tagged with the epoch
	epoch  int   // of that cursor in the request
	at     int64 // when it was put on the lane, Unix nanoseconds

	// own: it goes to the session's pinned lane.
	own bool
	// mute: the client does not want the reply (CLIENT REPLY).
	mute bool
	// sub: it subscribes, or ends subscriptions.
	sub *subRequest
	// blocking: it may block; blocked: on what, if it changes anything.
	blocking *blocking
	blocked  *ledger.Blocked
	// tries is the command that blocks, and that this tries in its place: it waits no longer than that would.
	tries *blocking
	// then is told the reply, under the lock, when it is there whole; the client gets what it returns. Of a reply
	// larger than maxUnit it is told as much as that, and the client gets what follows too, unless it returns nothing.
	then func(reply []byte) []byte

	// shadow: its reply is compared with the secondary's.
	shadow *shadow
	// traced: it is told what becomes of it.
	traced *traced

	// exec reads the reply, an EXEC's, where its header does not say how many replies follow; else nil.
	exec *execReply
	// whole: nothing of the reply is passed on before all of it is there, however large it is.
	whole bool
	// copies: it has no effect but copies of the keys that it writes.
	copies bool
	// stays: nothing that moves is changed by it.
	stays bool
	// spell makes its form for the instance that it is sent to, if that depends on it.
	spell func(*instance.Instance) []byte

	// tx is the transaction that came piecemeal and that this belongs to. queued is its place among the
	// transaction's commands, from 1; 0 if it is none of them, isMulti if it begins it.
	tx     *transaction
	queued int
	// ends: it is, or ends with, what should end a transaction on the server.
	ends bool
}

const isMulti = -1

// part is one command of a transaction.
type part struct {
	cmd      *router.Command
	from, to int   // in block
	keys     []int // of what it writes and reads, among the request's; none if it only reads
	follow   int
	barrier  bool // it flushes or swaps databases
	selects  bool // it is a SELECT, of db; noDB if it will fail
	db       int
	concern  *concern // what else it is to the session, nil for most
	channels int      // how many it subscribes to or unsubscribes from, allChannels, or 0 if it is about none
	unkeyed  bool     // a write whose keys could not be found
	script   *scriptRun
}

// kept reports whether the replies are needed whole, because something is told by them.
func (r *request) kept() bool {
	return r.acquired || r.unkeyed || r.ends || r.tx != nil || r.then != nil
}

// unkeyedPart returns a command of the transaction whose keys could not be found, or nil.
func (r *request) unkeyedPart() *router.Command {
	for i := range r.parts {
		if r.parts[i].unkeyed {
			return r.parts[i].cmd
		}
	}
	return nil
}

// unseenPart returns a script of the request that may write keys which it does not name, or nil.
func (r *request) unseenPart() *router.Command {
	if r.script != nil && r.script.facts.Undeclared {
		return r.cmd
	}
	for i := range r.parts {
		if run := r.parts[i].script; run != nil && run.facts.Undeclared {
			return r.parts[i].cmd
		}
	}
	return nil
}

func (r *request) reset() {
	keys := r.write.Keys[:0]
	if cap(keys) > 64 {
		keys = nil
	}
	clear(r.write.Keys)
	follows := r.follows[:0]
	if cap(follows) > 1024 {
		follows = nil
	}
	*r = request{follows: follows}
	if keys == nil {
		keys = r.keys[:0]
	}
	r.write.Keys = keys
	r.write.Waiter = r
}

// Granted puts the request on its lane; the session, which waits, writes the lane out. (ledger.Waiter)
func (r *request) Granted(*ledger.Write) {
	r.acquired = true
	r.lane.enqueue(r)
	r.sess.ticket = ticketGranted
	r.sess.wakeUp()
}

// rebase makes the names of the keys, which point into what the session has read, point to the same places on
// the lane. As slices of one array as far as its end, the distance to that end gives the place; a name that is
// anything else is copied.
func (r *request) rebase(src []byte) {
	if r.apart {
		return
	}
	if len(r.parts) > 0 {
		r.block = r.raw
	}
	for i := range r.write.Keys {
		k := &r.write.Keys[i]
		at, n := cap(src)-cap(k.Name), len(k.Name)
		if at >= 0 && at+n <= len(r.raw) && bytes.Equal(r.raw[at:at+n], k.Name) {
			k.Name = r.raw[at : at+n : at+n]
		} else {
			k.Name = bytes.Clone(k.Name)
		}
	}
}

// requestQueue is a FIFO of requests.
type requestQueue struct {
	head, tail *request
	n          int
}

func (q *requestQueue) push(r *request) {
	r.next = nil
	if q.tail == nil {
		q.head = r
	} else {
		q.tail.next = r
	}
	q.tail = r
	q.n++
}

// last is the newest, or nil.
func (q *requestQueue) last() *request { return q.tail }

func (q *requestQueue) pop() *request {
	r := q.head
	q.head = r.next
	if q.head == nil {
		q.tail = nil
	}
	r.next = nil
	q.n--
	return r
}
