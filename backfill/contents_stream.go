package backfill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// compareStream compares a stream: its ids and counters, its groups and their consumers, its entries, and
// each group's pending entries. When a consumer was last seen is no data, and neither is the number of
// entries that a group has read, which older servers keep differently.
func (v *Verify) compareStream(ctx context.Context, db int, name string) (difference, error) {
	first, second, err := v.oneReply(ctx, db, command{"XINFO", "STREAM", name, "FULL", "COUNT", "1"})
	if err != nil {
		return difference{}, err
	}
	a, err := streamOf(first)
	if err != nil {
		return difference{}, v.replyError(v.from, "XINFO", err)
	}
	b, err := streamOf(second)
	if err != nil {
		return difference{}, v.replyError(v.to, "XINFO", err)
	}
	if d := v.compareStreamInfo(a, b); d.kind != "" {
		return d, nil
	}
	if d, err := v.compareEntries(ctx, db, name); err != nil || d.kind != "" {
		return d, err
	}
	for _, group := range slices.Sorted(maps.Keys(a.groups)) {
		if a.groups[group].pending == 0 {
			continue
		}
		if d, err := v.comparePending(ctx, db, name, group); err != nil || d.kind != "" {
			return d, err
		}
	}
	return difference{}, nil
}

// stream is what XINFO STREAM FULL says, without entries.
type stream struct {
	// numbers are ids and counters by name. Those that a server does not have are not there.
	numbers map[string]string
	groups  map[string]group
}

type group struct {
	last    string
	pending int64
	// consumers has the number of pending entries of each.
	consumers map[string]int64
}

// streamNumbers are the fields of XINFO STREAM that are data.
var streamNumbers = []string{"length", "last-generated-id", "max-deleted-entry-id", "entries-added"}

// errForm says that a reply is not of the form that it has had in every version so far.
var errForm = errors.New("reply of an unknown form")

// streamOf reads the answer of XINFO STREAM FULL, a map or (RESP2) a list of names and values.
func streamOf(res rueidis.RedisResult) (stream, error) {
	s := stream{numbers: map[string]string{}, groups: map[string]group{}}
	info, err := res.AsMap()
	if err != nil {
		return s, err
	}
	for _, field := range streamNumbers {
		if m, ok := info[field]; ok {
			s.numbers[field] = text(m)
		}
	}
	list, ok := info["groups"]
	if !ok {
		return s, fmt.Errorf("%w: no groups", errForm)
	}
	groups, err := list.ToArray()
	if err != nil {
		return s, err
	}
	for i := range groups {
		fields, err := groups[i].AsMap()
		if err != nil {
			return s, err
		}
		name, g, err := groupOf(fields)
		if err != nil {
			return s, err
		}
		s.groups[name] = g
	}
	return s, nil
}

func groupOf(fields map[string]rueidis.RedisMessage) (name string, g group, err error) {
	g = group{last: text(fields["last-delivered-id"]), consumers: map[string]int64{}}
	count := fields["pel-count"]
	if g.pending, err = count.AsInt64(); err != nil {
		return "", g, fmt.Errorf("%w: pel-count: %w", errForm, err)
	}
	list := fields["consumers"]
	consumers, err := list.ToArray()
	if err != nil {
		return "", g, fmt.Errorf("%w: consumers: %w", errForm, err)
	}
	for i := range consumers {
		c, err := consumers[i].AsMap()
		if err != nil {
			return "", g, err
		}
		count := c["pel-count"]
		n, err := count.AsInt64()
		if err != nil {
			return "", g, fmt.Errorf("%w: a consumer's pel-count: %w", errForm, err)
		}
		g.consumers[text(c["name"])] = n
	}
	return text(fields["name"]), g, nil
}

// text is a reply that is a string or a number, as a string.
func text(m rueidis.RedisMessage) string {
	if n, err := m.ToInt64(); err == nil {
		return strconv.FormatInt(n, 10)
	}
	s, _ := m.ToString()
	return s
}

func (v *Verify) compareStreamInfo(a, b stream) difference {
	for _, field := range streamNumbers {
		x, ok1 := a.numbers[field]
		y, ok2 := b.numbers[field]
		if ok1 && ok2 && x != y {
			return difference{kind: kindStream, detail: field + " is " + v.sides(x, y)}
		}
	}
	for name, g := range a.groups {
		h, ok := b.groups[name]
		switch {
		case !ok:
			return v.lacksGroup(v.to, name)
		case g.last != h.last:
			return difference{kind: kindGroup, detail: fmt.Sprintf("group %s: last delivered is %s", quote(name), v.sides(g.last, h.last))}
		}
		for consumer := range g.consumers {
			if _, ok := h.consumers[consumer]; !ok {
				return v.lacksConsumer(v.to, name, consumer)
			}
		}
		for consumer := range h.consumers {
			if _, ok := g.consumers[consumer]; !ok {
				return v.lacksConsumer(v.from, name, consumer)
			}
		}
		if g.pending != h.pending || !maps.Equal(g.consumers, h.consumers) {
			return difference{kind: kindPending, detail: fmt.Sprintf("group %s: %s", quote(name),
				v.sides(fmt.Sprintf("%d pending", g.pending), fmt.Sprintf("%d pending", h.pending)))}
		}
	}
	for name := range b.groups {
		if _, ok := a.groups[name]; !ok {
			return v.lacksGroup(v.from, name)
		}
	}
	return difference{}
}

func (v *Verify) lacksGroup(side *reader, group string) difference {
	return difference{kind: kindGroup, detail: fmt.Sprintf("group %s is not on the %s", quote(group), side.in.Role)}
}

func (v *Verify) lacksConsumer(side *reader, group, consumer string) difference {
	return difference{kind: kindGroup, detail: fmt.Sprintf("consumer %s of group %s is not on the %s",
		quote(consumer), quote(group), side.in.Role)}
}

// compareEntries compares entries piece by piece, in the order of their ids.
func (v *Verify) compareEntries(ctx context.Context, db int, name string) (difference, error) {
	p := newPieces()
	for from := "-"; ; {
		first, second, err := v.oneReply(ctx, db, command{"XRANGE", name, from, "+", "COUNT", strconv.Itoa(p.n)})
		if err != nil {
			return difference{}, err
		}
		a, err := entriesOf(first)
		if err != nil {
			return difference{}, v.replyError(v.from, "XRANGE", err)
		}
		b, err := entriesOf(second)
		if err != nil {
			return difference{}, v.replyError(v.to, "XRANGE", err)
		}
		bytes := 0
		for i := range min(len(a), len(b)) {
			bytes += totalLen(a[i])
			if !slices.Equal(a[i], b[i]) {
				return difference{kind: kindValue, detail: "entry: " + v.sides(entryText(a[i]), entryText(b[i]))}, nil
			}
		}
		if len(a) != len(b) {
			return difference{kind: kindValue, detail: fmt.Sprintf("from entry %s on: %s", from,
				v.sides(elementsText(int64(len(a))), elementsText(int64(len(b)))))}, nil
		}
		if len(a) < p.n {
			return difference{}, nil
		}
		if from, err = after(a[len(a)-1][0]); err != nil {
			return difference{}, v.replyError(v.from, "XRANGE", err)
		}
		p.next(bytes)
		v.spend(int64(bytes))
	}
}

// entriesOf reads the answer of XRANGE: for each entry its id, then fields and values in their order.
func entriesOf(res rueidis.RedisResult) ([][]string, error) {
	list, err := res.ToArray()
	if err != nil {
		return nil, err
	}
	out := make([][]string, len(list))
	for i := range list {
		parts, err := list[i].ToArray()
		if err != nil {
			return nil, err
		}
		if len(parts) < 2 {
			return nil, fmt.Errorf("%w: an entry of %d elements", errForm, len(parts))
		}
		fields, err := parts[1].AsStrSlice()
		if err != nil {
			return nil, err
		}
		out[i] = append([]string{text(parts[0])}, fields...)
	}
	return out, nil
}

func entryText(e []string) string { return e[0] + " " + quote(strings.Join(e[1:], " ")) }

// after is the smallest stream id behind id, for servers before 6.2, which know no open intervals.
func after(id string) (string, error) {
	next, err := streamIDOf(id)
	if err != nil {
		return "", err
	}
	if next.seq++; next.seq == 0 {
		next.ms++
	}
	return next.String(), nil
}

// pendingEntry is one that was delivered and not acknowledged.
type pendingEntry struct {
	id, consumer string
	// deliveredAt is Unix ms on the server's clock.
	deliveredAt int64
	deliveries  int64
}

// comparePending compares a group's pending entries piece by piece, in the order of their ids.
func (v *Verify) comparePending(ctx context.Context, db int, name, group string) (difference, error) {
	const atOnce = 1024
	for from := "-"; ; {
		a, b, err := both(v, func(r *reader) ([]pendingEntry, error) { return r.pending(ctx, db, name, group, from, atOnce) })
		if err != nil {
			return difference{}, err
		}
		where := fmt.Sprintf("group %s: ", quote(group))
		for i := range min(len(a), len(b)) {
			x, y := a[i], b[i]
			what := ""
			switch {
			case x.id != y.id:
				what = "pending entry: " + v.sides(x.id, y.id)
			case x.consumer != y.consumer:
				what = fmt.Sprintf("entry %s is pending for %s", x.id, v.sides(quote(x.consumer), quote(y.consumer)))
			case x.deliveries != y.deliveries:
				what = fmt.Sprintf("deliveries of entry %s: %s", x.id,
					v.sides(strconv.FormatInt(x.deliveries, 10), strconv.FormatInt(y.deliveries, 10)))
			case !v.near(x.deliveredAt, y.deliveredAt) && !v.near(x.deliveredAt+v.opt.Shift(), y.deliveredAt):
				what = fmt.Sprintf("delivery time of entry %s: %s", x.id,
					v.sides(timeText(x.deliveredAt), timeText(y.deliveredAt)))
			}
			if what != "" {
				return difference{kind: kindPending, detail: where + what}, nil
			}
		}
		if len(a) != len(b) {
			return difference{kind: kindPending, detail: fmt.Sprintf("%spending from %s on: %s", where, from,
				v.sides(elementsText(int64(len(a))), elementsText(int64(len(b)))))}, nil
		}
		if len(a) < atOnce {
			return difference{}, nil
		}
		if from, err = after(a[len(a)-1].id); err != nil {
			return difference{}, v.replyError(v.from, "XPENDING", err)
		}
	}
}

// pending asks for a group's pending entries from an id on. XPENDING tells how long ago they were delivered;
// with the server's own clock of the same moment that is a time.
func (r *reader) pending(ctx context.Context, db int, name, group, from string, count int) ([]pendingEntry, error) {
	results, err := r.do(ctx, db, command{"TIME"}, command{"XPENDING", name, group, from, "+", strconv.Itoa(count)})
	if err != nil {
		return nil, err
	}
	now, err := serverTime(results[0])
	if err != nil {
		return nil, fmt.Errorf("%s: TIME: %w", r.in, err)
	}
	list, err := results[1].ToArray()
	if err != nil {
		return nil, fmt.Errorf("%s: XPENDING: %w", r.in, err)
	}
	out := make([]pendingEntry, len(list))
	for i := range list {
		parts, err := list[i].ToArray()
		if err != nil || len(parts) < 4 {
			return nil, fmt.Errorf("%s: XPENDING: %w", r.in, errForm)
		}
		idle, err1 := parts[2].AsInt64()
		deliveries, err2 := parts[3].AsInt64()
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: XPENDING: %w", r.in, err)
		}
		out[i] = pendingEntry{id: text(parts[0]), consumer: text(parts[1]), deliveredAt: now.UnixMilli() - idle, deliveries: deliveries}
	}
	return out, nil
}
