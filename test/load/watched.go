package load

import (
	"fmt"
	"strconv"

	"tandem/test/wire"
)

// The watched keys: each only ever changes in one direction, so that a look at them shows a value that was
// never there. They exist before the migration (Prepare), so that a write that reaches the target ahead of
// the copy would start from nothing and be seen.

const (
	// Counters is how many counters a client has, CounterStart where they begin.
	Counters     = 4
	CounterStart = 1_000_000
	// ListStart is the length of the growing list at the beginning; element i is the number i.
	ListStart = 200
	// Tombs is how many keys of a client are there to be deleted once.
	Tombs = 2000
)

func counterKey(id, i int) string { return fmt.Sprintf("watch:%d:counter:%d", id, i) }
func growingKey(id int) string    { return fmt.Sprintf("watch:%d:list", id) }
func pairKey(id int) string       { return fmt.Sprintf("watch:%d:pair", id) }
func tombKey(id, i int) string    { return fmt.Sprintf("watch:%d:tomb:%d", id, i) }
func pairCommand(id, n int) []string {
	return []string{"HSET", pairKey(id), "a", strconv.Itoa(n), "b", strconv.Itoa(n)}
}

// watched is the client's model of its watched keys.
type watched struct {
	counters  [Counters]int
	grown     int // elements acknowledged
	growing   int // elements sent
	pair      int // the last pair sent
	pairAcked int
	tombs     int // deleted
}

func newWatched() watched {
	w := watched{grown: ListStart, growing: ListStart}
	for i := range w.counters {
		w.counters[i] = CounterStart
	}
	return w
}

// Prepare makes the watched keys of all clients on the source, directly, before the migration begins.
func Prepare(source string, clients int) error {
	conn, err := wire.Dial(source)
	if err != nil {
		return err
	}
	defer conn.Close()
	for id := range clients {
		cmds := [][]string{{"SELECT", strconv.Itoa(homeDB(id))}, pairCommand(id, 0)}
		for i := range Counters {
			cmds = append(cmds, []string{"SET", counterKey(id, i), strconv.Itoa(CounterStart)})
		}
		list := []string{"RPUSH", growingKey(id)}
		for i := range ListStart {
			list = append(list, strconv.Itoa(i))
		}
		cmds = append(cmds, list)
		for i := range Tombs {
			cmds = append(cmds, []string{"SET", tombKey(id, i), "x"})
		}
		replies, err := conn.DoMany(cmds)
		if err != nil {
			return err
		}
		for i, r := range replies {
			if r.IsErr() {
				return fmt.Errorf("prepare %s: %s: %s", source, cmds[i][0], r.Str)
			}
		}
	}
	return nil
}

func (o *own) count() {
	i := o.c.rand.IntN(Counters)
	o.emit(func(r wire.Reply) string {
		o.counters[i]++
		return isInt(r, o.counters[i])
	}, "INCR", counterKey(o.c.id, i))
}

func (o *own) grow() {
	v := o.growing
	o.growing++
	o.emit(func(r wire.Reply) string {
		o.grown++
		return isInt(r, o.grown)
	}, "RPUSH", growingKey(o.c.id), strconv.Itoa(v))
}

func (o *own) setPair() {
	o.pair++
	n := o.pair
	o.emit(func(r wire.Reply) string {
		o.pairAcked = n
		return isInt(r, 0)
	}, pairCommand(o.c.id, n)...)
}

// bury deletes a key that nobody ever makes again.
func (o *own) bury() {
	if o.tombs == Tombs {
		return
	}
	o.emit(func(r wire.Reply) string { return isInt(r, 1) }, "DEL", tombKey(o.c.id, o.tombs))
	o.tombs++
}

// reload finds out, on a new connection, what became of up to n commands whose replies were lost: the watched
// keys must hold at least what was acknowledged, and no more than was sent. The other keys begin a new life.
func (o *own) reload(n int) error {
	conn := o.c.conn
	within := func(what, got string, least, most int) int {
		v, err := strconv.Atoi(got)
		if err != nil || v < least || v > most {
			o.c.load.problem("client %d: after a lost connection %s is %q, want %d to %d", o.c.id, what, got, least, most)
			return least
		}
		return v
	}
	for i := range o.counters {
		reply, err := conn.Do("GET", counterKey(o.c.id, i))
		if err != nil {
			return err
		}
		o.counters[i] = within(counterKey(o.c.id, i), reply.Str, o.counters[i], o.counters[i]+n)
	}
	reply, err := conn.Do("LLEN", growingKey(o.c.id))
	if err != nil {
		return err
	}
	o.grown = within("the length of "+growingKey(o.c.id), strconv.FormatInt(reply.Int, 10), o.grown, o.growing)
	o.growing = o.grown
	if reply, err = conn.Do("HGET", pairKey(o.c.id), "a"); err != nil {
		return err
	}
	o.pair = within(pairKey(o.c.id), reply.Str, o.pairAcked, o.pair)
	o.pairAcked = o.pair
	o.begin()
	return nil
}
