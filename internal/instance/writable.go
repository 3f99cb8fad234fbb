package instance

import (
	"context"
	"errors"
	"net"
)

// Writable asks whether the server takes writes, by one that changes nothing: UNLINK of a key that is not there. The
// error is the server's own, of a replica (READONLY) or a server that cannot save (MISCONF), say, or that of the connection. That
// our user may not run the command, or not on that key, says nothing of others' writes and is no error.
func (i *Instance) Writable(ctx context.Context) error {
	c, err := i.Conn(ctx, controlName, 0)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Do(ctx, "UNLINK", settleKey); err != nil && !errors.Is(err, ErrCommandRefused) {
		return err
	}
	return nil
}

// Answers reports whether a new connection is answered by the server itself before ctx ends, or cannot be made at all: in
// either case an older one that is not answered is of no more use. A server that is stalled, or busy with a script, or
// holds writes back (CLIENT PAUSE), takes connections and does not answer: then it is false.
func (i *Instance) Answers(ctx context.Context) bool {
	c, err := i.dialTCP(ctx)
	if err != nil {
		return true
	}
	if i.tls != nil {
		if c, err = i.handshake(ctx, c); err != nil {
			return false
		}
	}
	defer c.Close()
	return i.answers(ctx, c)
}

// answers asks on a fresh connection.
func (i *Instance) answers(ctx context.Context, c net.Conn) bool {
	if _, err := i.greet(ctx, c, greeting{name: controlName}); err != nil {
		return errors.Is(err, ErrCredentials) // that is an answer
	}
	replies, err := (&Conn{i: i, c: c, r: reader{conn: c}}).Pipe(ctx, []string{"PING"}, []string{"UNLINK", settleKey})
	if err != nil {
		return false
	}
	var reply *ReplyError
	return !errors.As(ReplyOf(replies[0]), &reply) || reply.Code() != "BUSY"
}
