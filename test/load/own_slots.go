package load

import (
	"fmt"
	"strconv"

	"tandem/test/wire"
)

// The operations on slots: keys that come, go, move and expire (never within a test), with every reply known.

func (o *own) slot() (int, string) {
	i := o.c.rand.IntN(len(o.slots))
	return i, o.slotKey(i)
}

func (o *own) slotKey(i int) string { return o.key("slot" + strconv.Itoa(i)) }

func (o *own) slotSet() {
	i, key := o.slot()
	v := "v" + o.next()
	if o.c.rand.IntN(2) == 0 {
		o.emit(func(r wire.Reply) string {
			o.slots[i] = slot{&v, false}
			return isOK(r)
		}, "SET", key, v)
		return
	}
	o.emit(func(r wire.Reply) string {
		o.slots[i] = slot{&v, true}
		return isOK(r)
	}, "SET", key, v, "EX", strconv.Itoa(farTTL))
}

// slotNX sets under a condition: NX as a lock does, XX as a renewal does.
func (o *own) slotNX() {
	i, key := o.slot()
	v := "v" + o.next()
	cond := []string{"NX", "XX"}[o.c.rand.IntN(2)]
	o.emit(func(r wire.Reply) string {
		if (o.slots[i].value == nil) != (cond == "NX") {
			return isText(r, nil)
		}
		o.slots[i] = slot{&v, true}
		return isOK(r)
	}, "SET", key, v, cond, "PX", strconv.Itoa(farTTL*1000))
}

func (o *own) slotSetGet() {
	i, key := o.slot()
	v := "v" + o.next()
	o.emit(func(r wire.Reply) string {
		before := o.slots[i].value
		if before != nil {
			o.slots[i] = slot{&v, false}
		}
		return isText(r, before)
	}, "SET", key, v, "XX", "GET")
}

func (o *own) slotGet() {
	i, key := o.slot()
	o.emit(func(r wire.Reply) string { return isText(r, o.slots[i].value) }, "GET", key)
}

func (o *own) slotGetDel() {
	i, key := o.slot()
	o.emit(func(r wire.Reply) string {
		before := o.slots[i].value
		o.slots[i] = slot{}
		return isText(r, before)
	}, "GETDEL", key)
}

func (o *own) slotDel() {
	i, key := o.slot()
	name := []string{"DEL", "UNLINK"}[o.c.rand.IntN(2)]
	o.emit(func(r wire.Reply) string {
		before := o.slots[i].value
		o.slots[i] = slot{}
		return isInt(r, bit(before != nil))
	}, name, key)
}

func (o *own) slotExpire() {
	i, key := o.slot()
	if o.c.rand.IntN(3) == 0 {
		o.emit(func(r wire.Reply) string {
			had := o.slots[i].ttl
			o.slots[i].ttl = false
			return isInt(r, bit(had))
		}, "PERSIST", key)
		return
	}
	o.emit(func(r wire.Reply) string {
		o.slots[i].ttl = o.slots[i].value != nil
		return isInt(r, bit(o.slots[i].ttl))
	}, "EXPIRE", key, strconv.Itoa(farTTL))
}

func (o *own) slotTTL() {
	i, key := o.slot()
	o.emit(func(r wire.Reply) string {
		switch {
		case o.slots[i].value == nil:
			return isInt(r, -2)
		case !o.slots[i].ttl:
			return isInt(r, -1)
		case r.Kind != ':' || r.Int < farTTL/2 || r.Int > farTTL:
			return fmt.Sprintf("a little less than %d", farTTL)
		}
		return ""
	}, "TTL", key)
}

func (o *own) slotRename() {
	i, from := o.slot()
	j, to := o.slot()
	o.emit(func(r wire.Reply) string {
		if o.slots[i].value == nil {
			if r.IsErr() && r.Str == "ERR no such key" {
				return ""
			}
			return "-ERR no such key"
		}
		if i != j {
			o.slots[i], o.slots[j] = slot{}, o.slots[i]
		}
		return isOK(r)
	}, "RENAME", from, to)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
