package backfill

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"
)

// stringPieces reads a string. The temporary one has its full length from the beginning, so that it is not moved with
// each piece; a short one is set at once.
type stringPieces struct {
	*building
	at   int64
	done bool
}

func (p *stringPieces) next(ctx context.Context) ([]command, error) {
	if p.done {
		return nil, nil
	}
	end := min(p.at+pieceBytes, p.count)
	value := ""
	if p.count > 0 {
		reply, err := p.ask(ctx, command{"GETRANGE", p.name, strconv.FormatInt(p.at, 10), strconv.FormatInt(end-1, 10)})
		if err != nil {
			return nil, err
		}
		if value, err = reply.ToString(); err != nil {
			return nil, p.replyError("GETRANGE", err)
		}
		if int64(len(value)) != end-p.at {
			return nil, errOvertaken
		}
	}
	var out []command
	switch {
	case p.count <= pieceBytes:
		out = []command{{"SET", p.to, value}}
	case p.at == 0:
		out = []command{{"SETRANGE", p.to, strconv.FormatInt(p.count-1, 10), "\x00"}, {"SETRANGE", p.to, "0", value}}
	default:
		out = []command{{"SETRANGE", p.to, strconv.FormatInt(p.at, 10), value}}
	}
	p.at, p.done = end, end == p.count
	p.bytes += int64(len(value))
	return out, nil
}

// ask sends one command to the primary.
func (b *building) ask(ctx context.Context, c command) (rueidis.RedisResult, error) {
	results, err := b.c.reader.doIn(ctx, pieceTimeout, b.db, c)
	if err != nil {
		return rueidis.RedisResult{}, err
	}
	return results[0], nil
}

func (b *building) replyError(what string, err error) error {
	return fmt.Errorf("%s: %s: %w", b.c.reader.in, what, err)
}

// listPieces reads a list from its head.
type listPieces struct {
	*building
	at   int64
	size pieces
}

func (p *listPieces) next(ctx context.Context) ([]command, error) {
	if p.at >= p.count {
		return nil, nil
	}
	reply, err := p.ask(ctx, command{"LRANGE", p.name, strconv.FormatInt(p.at, 10), strconv.FormatInt(p.at+int64(p.size.n)-1, 10)})
	if err != nil {
		return nil, err
	}
	elements, err := reply.AsStrSlice()
	if err != nil {
		return nil, p.replyError("LRANGE", err)
	}
	if len(elements) == 0 {
		return nil, errOvertaken
	}
	p.at += int64(len(elements))
	n := totalLen(elements)
	p.size.next(n)
	p.bytes += int64(n)
	return []command{append(command{"RPUSH", p.to}, elements...)}, nil
}

// elementPieces reads sets, sorted sets and hashes by their SCAN. An element may come twice; while nothing is written,
// which the version tells, none is left out.
type elementPieces struct {
	*building
	scan   string
	add    func(ctx context.Context, elements []string) ([]command, error)
	size   pieces
	cursor string
	done   bool
}

func (p *elementPieces) next(ctx context.Context) ([]command, error) {
	for !p.done {
		cursor := p.cursor
		if cursor == "" {
			cursor = "0"
		}
		reply, err := p.ask(ctx, command{p.scan, p.name, cursor, "COUNT", strconv.Itoa(p.size.n)})
		if err != nil {
			return nil, err
		}
		entry, err := reply.AsScanEntry()
		if err != nil {
			return nil, p.replyError(p.scan, err)
		}
		p.cursor, p.done = strconv.FormatUint(entry.Cursor, 10), entry.Cursor == 0
		n := totalLen(entry.Elements)
		p.size.next(n)
		p.bytes += int64(n)
		if len(entry.Elements) == 0 {
			continue
		}
		return p.add(ctx, entry.Elements)
	}
	return nil, nil
}

func (b *building) addMembers(_ context.Context, members []string) ([]command, error) {
	return []command{append(command{"SADD", b.to}, members...)}, nil
}

// addScores turns members and scores around.
func (b *building) addScores(_ context.Context, entries []string) ([]command, error) {
	c := append(make(command, 0, len(entries)+2), "ZADD", b.to)
	for i := 0; i+1 < len(entries); i += 2 {
		c = append(c, entries[i+1], entries[i])
	}
	return []command{c}, nil
}

// addFields adds fields, those that expire with their time, where the secondary has that. Of a field that has expired
// since it was read, the time says that it is not there.
func (b *building) addFields(ctx context.Context, entries []string) ([]command, error) {
	all := append(command{"HSET", b.to}, entries...)
	if b.c.reader.noFieldExpiry.Load() {
		return []command{all}, nil
	}
	fields := make([]string, 0, len(entries)/2)
	for i := 0; i+1 < len(entries); i += 2 {
		fields = append(fields, entries[i])
	}
	reply, err := b.ask(ctx, append(command{"HPEXPIRETIME", b.name, "FIELDS", strconv.Itoa(len(fields))}, fields...))
	if err != nil {
		return nil, err
	}
	times, err := reply.AsIntSlice()
	switch {
	case unknown(reply.Error()):
		b.c.reader.noFieldExpiry.Store(true)
		return []command{all}, nil
	case err != nil:
		return nil, b.replyError("HPEXPIRETIME", err)
	case len(times) != len(fields):
		return nil, errOvertaken
	}
	return b.addExpiring(entries, times), nil
}

// What HPEXPIRETIME answers for a field without an expiry; less is for one that is not there.
const fieldTTLNone = -1

func (b *building) addExpiring(entries []string, times []int64) []command {
	carries := b.dialect.ExpiringFields()
	add := command{"HSET", b.to}
	byTime := map[int64]command{}
	for i, at := range times {
		if at < fieldTTLNone {
			b.fieldsExpire = true
			continue
		}
		add = append(add, entries[2*i], entries[2*i+1])
		if at == fieldTTLNone {
			continue
		}
		b.fieldsExpire = true
		if carries {
			byTime[at] = append(byTime[at], entries[2*i])
			continue
		}
		b.lost++
		if b.nextLost == 0 || at < b.nextLost {
			b.nextLost = at
		}
	}
	if len(add) == 2 {
		return []command{}
	}
	out := []command{add}
	for at, fields := range byTime {
		c := command{"HPEXPIREAT", b.to, strconv.FormatInt(at, 10), "FIELDS", strconv.Itoa(len(fields))}
		out = append(out, append(c, fields...))
	}
	return out
}
