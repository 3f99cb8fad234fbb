package keyspace

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"

	"tandem/test/wire"
)

// window is how many commands travel before their replies are read. Servers hold the replies meanwhile.
const window = 500

// Fill makes the layout's keyspace on a server, over two connections that share the kinds. Every error reply
// is an error: what was not stored would not be tested.
func (l Layout) Fill(addr string) error {
	var next, failed = make(chan Kind, kinds), make(chan error, 2)
	for k := range kinds {
		next <- k
	}
	close(next)
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			f, err := newFiller(addr)
			if err == nil {
				defer f.conn.Close()
				err = f.fill(l, next)
			}
			if err == nil && w == 0 && l.LargeBytes > 0 {
				err = f.fillLarge(l)
			}
			if err != nil {
				failed <- fmt.Errorf("fill %s: %w", addr, err)
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

// filler pipelines writes on one connection.
type filler struct {
	conn     *wire.Conn
	db       int
	fieldTTL bool
	sent     []string // what each reply owed is the answer to
	bytes    int
}

func newFiller(addr string) (*filler, error) {
	conn, err := wire.Dial(addr)
	if err != nil {
		return nil, err
	}
	server, err := conn.Server()
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &filler{conn: conn, fieldTTL: server.HasFieldTTL()}, nil
}

func (f *filler) fill(l Layout, next <-chan Kind) error {
	var cmds [][]string
	for k := range next {
		r := rand.New(rand.NewPCG(l.Seed, uint64(k)))
		// Database by database, so that SELECT is rare.
		for _, db := range DBs {
			if err := f.selectDB(db); err != nil {
				return err
			}
			for i := range l.Count(k) {
				if dbOf(i) != db {
					continue
				}
				key := Name(k, i)
				cmds = l.commands(cmds[:0], r, k, key, f.fieldTTL)
				if ms := l.expiry(r); ms > 0 {
					cmds = append(cmds, []string{"PEXPIRE", key, strconv.Itoa(ms)})
				}
				for _, cmd := range cmds {
					if err := f.send(cmd...); err != nil {
						return err
					}
				}
			}
		}
	}
	return f.drain()
}

func (f *filler) fillLarge(l Layout) error {
	if err := f.selectDB(DBs[0]); err != nil {
		return err
	}
	if err := l.large(rand.New(rand.NewPCG(l.Seed, uint64(kinds))), f.send); err != nil {
		return err
	}
	return f.drain()
}

func (f *filler) selectDB(db int) error {
	if db == f.db {
		return nil
	}
	f.db = db
	return f.send("SELECT", strconv.Itoa(db))
}

func (f *filler) send(cmd ...string) error {
	f.conn.Send(cmd...)
	f.sent = append(f.sent, cmd[0])
	for _, a := range cmd {
		f.bytes += len(a)
	}
	if len(f.sent) >= window || f.bytes > 1<<20 {
		return f.drain()
	}
	return nil
}

func (f *filler) drain() error {
	if err := f.conn.Flush(); err != nil {
		return err
	}
	for _, name := range f.sent {
		reply, err := f.conn.Receive()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if reply.IsErr() {
			return fmt.Errorf("%s: %s", name, reply.Str)
		}
	}
	f.sent, f.bytes = f.sent[:0], 0
	return nil
}
