package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/redis/rueidis"

	"tandem/internal/rdb"
)

// reading is what was found of one key.
type reading struct {
	found found
	// payload is what DUMP answered, or would answer in its plainest form, if found is present.
	payload string
	// size is the length of the payload, of one that was dropped too.
	size int64
	// expireAt is the expiry on this server's clock, Unix ms; 0 for none.
	expireAt int64
	// from is the secondary's key that holds the value, if found is built.
	from string
	// lostExpiry is how many of its fields expire, which the secondary does not have, the first at nextExpiry, Unix ms.
	lostExpiry int
	nextExpiry int64
	// err says why, if found is unreadable.
	err error
}

// length is the size of the value that was read.
func (o *reading) length() int {
	if o.found == built {
		return int(o.size)
	}
	return len(o.payload)
}

// found says what a reading has found.
type found uint8

const (
	// missing: there is no such key.
	missing found = iota
	// present: payload and expireAt are the key's state.
	present
	// dropped: the value is larger than the read allowed; only size is known.
	dropped
	// torn: the key came into being between the two commands that read it.
	torn
	// unreadable: the server answered with an error.
	unreadable
	// byType: the secondary does not read what DUMP answered.
	byType
	// built: the value is in a temporary key of the secondary.
	built
	// noString: GET has not read it, for it is of another type, or this user may read it by DUMP alone.
	noString
)

// limits of one read. What is beyond them is taken off the connection and dropped, so that the memory for a
// batch is bounded although the sizes of its values are not known when it is asked for.
type limits struct {
	// value is the most bytes of one payload.
	value int64
	// total is the most bytes of all payloads together; one alone may be larger.
	total int64
}

// slowest is the rate, in bytes per second, below which a read is given up for lost.
const slowest = 1 << 20

// noLimits takes every value whole.
var noLimits = limits{value: 1 << 62, total: 1 << 62}

// read reads keys of one database: for each, the expiry and then the payload. This order matters: the other
// way round, a key that expires in between would look as if it had no expiry. out has one place per name.
// The error is for what happened to the whole batch, and then nothing was read.
func (r *reader) read(ctx context.Context, db int, names []string, lim limits, out []reading) error {
	return r.readBy(ctx, byDump, db, names, lim, out)
}

// readBy is read with the command that reads the values. By GET, those that are not read are noString.
func (r *reader) readBy(ctx context.Context, by string, db int, names []string, lim limits, out []reading) error {
	client, err := r.connect(ctx)
	if err != nil {
		return err
	}
	timeout := bigTimeout
	if lim != noLimits {
		timeout = min(timeout, r.timeout+time.Duration(lim.total/slowest)*time.Second)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	clear(out)
	withTTL := !r.usePTTL.Load()
	if !withTTL {
		if err := r.readPTTL(ctx, db, names, out); err != nil {
			return err
		}
	}
	b := client.B()
	block := make(rueidis.Commands, 0, 2*len(names)+1)
	block = append(block, b.Arbitrary("SELECT", r.number(db)).Build())
	for _, name := range names {
		if withTTL {
			block = append(block, b.Arbitrary("PEXPIRETIME", name).Build())
		}
		block = append(block, b.Arbitrary(by, name).Build())
	}
	err = r.receive(client.DoMultiStream(ctx, block...), by, db, withTTL, lim, out)
	if errors.Is(err, errNoExpireTime) && withTTL {
		r.usePTTL.Store(true)
		return r.readBy(ctx, by, db, names, lim, out)
	}
	return err
}

// emptyString is the payload of the empty string.
var emptyString = string(rdb.Seal(rdb.AppendStringHead(nil, 0)))

// errNoExpireTime says that the server has no PEXPIRETIME.
var errNoExpireTime = errors.New("PEXPIRETIME is refused")

// receive takes the replies to read's block. It takes all of them, whatever they are: the connection goes
// back to its pool with the last one only.
func (r *reader) receive(stream rueidis.MultiRedisResultStream, by string, db int, withTTL bool, lim limits, out []reading) error {
	in := intake{limits: lim, expect: len(out), plain: by == byGet}
	var whole error
	next := func() (err error) {
		in.scalar = in.scalar[:0]
		in.payload, in.size = "", 0
		_, err = stream.WriteTo(&in)
		if e := wholeServer(err); e != nil && whole == nil {
			whole = fmt.Errorf("%s: read keys: %w", r.in, e)
		}
		return err
	}
	broken := func(err error) bool {
		if err == nil || rueidis.IsRedisNil(err) {
			return false
		}
		_, isReply := rueidis.IsRedisErr(err)
		return !isReply
	}
	if err := next(); broken(err) {
		return fmt.Errorf("%s: read keys: %w", r.in, err)
	} else if err != nil && whole == nil {
		whole = fmt.Errorf("%s: select database %d: %w", r.in, db, err)
	}
	for i := range out {
		o := &out[i]
		if withTTL {
			err := next()
			switch {
			case broken(err):
				return fmt.Errorf("%s: read keys: %w", r.in, err)
			case refused(err):
				whole = errNoExpireTime
			case err != nil:
				o.found, o.err = unreadable, fmt.Errorf("PEXPIRETIME: %w", err)
			default:
				o.expireAt = in.number()
			}
		}
		err := next()
		switch {
		case broken(err):
			return fmt.Errorf("%s: read keys: %w", r.in, err)
		case o.found == unreadable:
		case rueidis.IsRedisNil(err):
			o.expireAt = 0
		case by == byGet && refused(err):
			whole = errNoGet
		case by == byGet && isWrongType(err):
			o.found = noString
		case by == byGet && err != nil: // whether something is wrong with the key DUMP shall say
			o.found, o.err = noString, err
		case refused(err):
			// No key is to blame, and the next ones would be answered the same.
			whole = fmt.Errorf("%s: %s: %w", r.in, by, err)
		case err != nil:
			o.found, o.err = unreadable, fmt.Errorf("%s: %w", by, err)
		default:
			if by == byGet && in.size == 0 { // of an empty string, rueidis says nothing
				in.payload = emptyString
			}
			o.take(&in)
		}
	}
	return whole
}

// The answers of PEXPIRETIME and PTTL for keys without an expiry, and for keys that are not there.
const (
	ttlNone    = -1
	ttlMissing = -2
)

// isString reports whether the payload is a string's.
func (o *reading) isString() bool { return rdb.IsString(bytesOf(o.payload)) }

// take fills in what DUMP or GET answered; expireAt is still what PEXPIRETIME or PTTL did.
func (o *reading) take(in *intake) {
	o.size = in.size
	switch o.expireAt {
	case ttlMissing:
		o.found, o.expireAt = torn, 0
		return
	case ttlNone:
		o.expireAt = 0
	}
	if in.payload == "" {
		o.found = dropped
		return
	}
	o.found, o.payload = present, in.payload
}

// chunkSize is the memory that small payloads of a batch share: one allocation instead of hundreds.
const chunkSize = 32 << 10

// intake receives replies. rueidis hands it a bulk string as a limited reader (io.ReaderFrom), whose limit
// tells the length before a byte of it is taken; everything else as bytes.
type intake struct {
	limits
	// expect is how many payloads are to come, for the size of the first chunk.
	expect int
	// plain: the bulk strings are strings, and payloads are to be made of them.
	plain bool

	// scalar is a reply that is a number or status.
	scalar []byte
	// payload is a reply that is a bulk string, size its length; payload is empty if it was dropped.
	payload string
	size    int64

	chunk []byte
	taken int64
}

func (in *intake) Write(p []byte) (int, error) {
	in.scalar = append(in.scalar, p...)
	return len(p), nil
}

// number is the scalar as a number. Servers answer PEXPIRETIME with nothing else.
func (in *intake) number() int64 {
	digits, sign := in.scalar, int64(1)
	if len(digits) > 0 && digits[0] == '-' {
		digits, sign = digits[1:], -1
	}
	var n int64
	for _, d := range digits {
		n = n*10 + int64(d-'0')
	}
	return sign * n
}

func (in *intake) ReadFrom(src io.Reader) (int64, error) {
	bulk, ok := src.(*io.LimitedReader)
	if !ok {
		return 0, fmt.Errorf("a bulk string came as %T", src)
	}
	in.size = bulk.N
	if in.size > in.value || in.taken > 0 && in.taken+in.size > in.total {
		return 0, nil // rueidis skips what is left of it
	}
	in.taken += in.size
	value := int(in.size)
	if !in.plain {
		p := in.room(value)
		n, err := io.ReadFull(bulk, p)
		if err == nil {
			in.payload = rueidis.BinaryString(p)
		}
		return int64(n), err
	}
	p := rdb.AppendStringHead(in.room(value + rdb.StringOverhead)[:0], value)
	p = p[:len(p)+value]
	n, err := io.ReadFull(bulk, p[len(p)-value:])
	if err == nil {
		in.payload = rueidis.BinaryString(rdb.Seal(p))
	}
	return int64(n), err
}

// room returns n bytes that nobody else has.
func (in *intake) room(n int) []byte {
	if n > chunkSize/4 {
		return make([]byte, n)
	}
	if len(in.chunk)+n > cap(in.chunk) {
		// Small values as a rule: 64 bytes for each that is to come, but not more than will be used.
		in.chunk = make([]byte, 0, max(n, min(chunkSize, 64*in.expect)))
	}
	p := in.chunk[len(in.chunk) : len(in.chunk)+n : len(in.chunk)+n]
	in.chunk = in.chunk[:len(in.chunk)+n]
	return p
}
