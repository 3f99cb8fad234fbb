package backfill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// streamPieces reads a stream: first, as the state of the others, what XINFO says of it; then its entries, in pieces;
// then its ids and counters, and each group with its consumers and its pending entries.
//
// An entry may be pending that is not in the stream any more: XCLAIM makes none of it. So the pending ids are known
// before the entries, as they are in the stream's order too, and where an entry is missing one is put that is removed
// again when the groups are there.
type streamPieces struct {
	*building
	size pieces
	step streamStep
	info streamState
	// from is where the entries go on; first is the first of all, empty if there is none.
	from  string
	first string
	// missing are pending ids that are not in the stream, rising; those before put are in the temporary key.
	missing []streamID
	put     int
	// looked is how many pending entries are looked for together: those that are there come whole.
	looked pieces
	// groups are those still to come, in order; group is under way, from its pending id at.
	groups []string
	at     string
}

type streamStep uint8

const (
	streamInfo streamStep = iota
	streamEntries
	streamGroups
	streamPending
	streamEnd
	streamDone
)

// streamState is what is known of a stream besides its entries.
type streamState struct {
	stream
	// read is how many entries each group has read; empty where the server does not tell.
	read map[string]string
}

// maxMissing is how many pending entries may be missing from the stream: their ids are in memory.
const maxMissing = 1 << 20

var errManyMissing = keyError("more than a million entries are pending that are not in the stream any more")

func (p *streamPieces) next(ctx context.Context) ([]command, error) {
	switch p.step {
	case streamInfo:
		p.step, p.from = streamEntries, "-"
		return []command{}, p.readInfo(ctx)
	case streamEntries:
		return p.entries(ctx)
	case streamGroups:
		return p.group(ctx)
	case streamPending:
		return p.claims(ctx)
	case streamEnd:
		p.step = streamDone
		return p.ends(), nil
	}
	return nil, nil
}

// readInfo asks for all but the entries, and finds out which pending ones are missing.
func (p *streamPieces) readInfo(ctx context.Context) error {
	reply, err := p.ask(ctx, command{"XINFO", "STREAM", p.name, "FULL", "COUNT", "1"})
	if err != nil {
		return err
	}
	if p.info.stream, err = streamOf(reply); err != nil {
		return p.replyError("XINFO", err)
	}
	p.info.read = groupsRead(reply)
	p.groups = slices.Sorted(maps.Keys(p.info.groups))
	missing := map[streamID]struct{}{}
	for _, group := range p.groups {
		if p.info.groups[group].pending == 0 {
			continue
		}
		for from := "-"; from != ""; {
			var page []pendingEntry
			if page, from, err = p.pendingPage(ctx, group, from); err != nil {
				return err
			}
			if err := p.noteMissing(ctx, page, missing); err != nil {
				return err
			}
		}
	}
	p.missing = slices.SortedFunc(maps.Keys(missing), streamID.compare)
	return nil
}

// groupsRead is how many entries each group has read, from the answer of XINFO STREAM FULL.
func groupsRead(reply rueidis.RedisResult) map[string]string {
	read := map[string]string{}
	info, _ := reply.AsMap()
	list := info["groups"]
	groups, _ := list.ToArray()
	for i := range groups {
		fields, err := groups[i].AsMap()
		if err != nil {
			continue
		}
		m, ok := fields["entries-read"]
		if n, err := m.ToInt64(); ok && err == nil {
			read[text(fields["name"])] = strconv.FormatInt(n, 10)
		}
	}
	return read
}

// pendingAtOnce is how many pending entries are asked for together.
const pendingAtOnce = 1024

// pendingPage asks for pending entries of a group from an id on; next is where it goes on, empty at the end.
func (p *streamPieces) pendingPage(ctx context.Context, group, from string) (page []pendingEntry, next string, err error) {
	page, err = p.c.reader.pending(ctx, p.db, p.name, group, from, pendingAtOnce)
	if err != nil || len(page) < pendingAtOnce {
		return page, "", err
	}
	next, err = after(page[len(page)-1].id)
	return page, next, err
}

// noteMissing notes those of the pending entries that are not in the stream. Memory is that of a piece.
func (p *streamPieces) noteMissing(ctx context.Context, page []pendingEntry, missing map[streamID]struct{}) error {
	for len(page) > 0 {
		portion := page[:min(p.looked.n, len(page))]
		page = page[len(portion):]
		commands := make([]command, len(portion))
		for i, e := range portion {
			commands[i] = command{"XRANGE", p.name, e.id, e.id}
		}
		results, err := p.c.reader.doIn(ctx, pieceTimeout, p.db, commands...)
		if err != nil {
			return err
		}
		bytes := 0
		for i := range results {
			found, err := entriesOf(results[i])
			if err != nil {
				return p.replyError("XRANGE", err)
			}
			if len(found) > 0 {
				bytes += totalLen(found[0])
				continue
			}
			id, err := streamIDOf(portion[i].id)
			if err != nil {
				return err
			}
			if missing[id] = struct{}{}; len(missing) > maxMissing {
				return errManyMissing
			}
		}
		p.looked.next(bytes)
	}
	return nil
}

// entries adds a page of entries, and between them those that are pending and missing.
func (p *streamPieces) entries(ctx context.Context) ([]command, error) {
	reply, err := p.ask(ctx, command{"XRANGE", p.name, p.from, "+", "COUNT", strconv.Itoa(p.size.n)})
	if err != nil {
		return nil, err
	}
	entries, err := entriesOf(reply)
	if err != nil {
		return nil, p.replyError("XRANGE", err)
	}
	out := []command{}
	bytes := 0
	if p.first == "" && len(entries) > 0 {
		p.first = entries[0][0]
	}
	for _, e := range entries {
		id, err := streamIDOf(e[0])
		if err != nil {
			return nil, err
		}
		out = p.putMissing(out, &id)
		out = append(out, append(command{"XADD", p.to}, e...))
		bytes += totalLen(e)
	}
	p.bytes += int64(bytes)
	if len(entries) == p.size.n {
		p.from, err = after(entries[len(entries)-1][0])
		p.size.next(bytes)
		return out, err
	}
	out = p.putMissing(out, nil)
	if p.first == "" && p.put == 0 {
		// A stream without entries comes into being with a group.
		out = append(out, command{"XGROUP", "CREATE", p.to, "g", "0", "MKSTREAM"}, command{"XGROUP", "DESTROY", p.to, "g"})
	}
	p.step = streamGroups
	return append(out, p.numbers()), nil
}

// putMissing adds entries in the place of those that are missing before an id, or of all that are left.
func (p *streamPieces) putMissing(out []command, before *streamID) []command {
	for ; p.put < len(p.missing) && (before == nil || p.missing[p.put].compare(*before) < 0); p.put++ {
		out = append(out, command{"XADD", p.to, p.missing[p.put].String(), "", ""})
	}
	return out
}

// numbers sets the stream's last id, without which no group can be behind it, and its counters.
func (p *streamPieces) numbers() command {
	c := command{"XSETID", p.to, p.info.numbers["last-generated-id"]}
	if added, ok := p.info.numbers["entries-added"]; ok && p.counts() {
		// With what is missing there are more entries for now than were ever added, perhaps: set once more at the end.
		n, _ := strconv.ParseInt(added, 10, 64)
		c = append(c, "ENTRIESADDED", strconv.FormatInt(n+int64(len(p.missing)), 10))
		if id := p.info.numbers["max-deleted-entry-id"]; id != "" {
			c = append(c, "MAXDELETEDID", id)
		}
	}
	return c
}

// counts reports whether both servers keep a stream's counters (since 7.0): the secondary knows the streams of then.
func (p *streamPieces) counts() bool { return p.dialect.StreamCounters() }

// group begins the next group: itself and its consumers.
func (p *streamPieces) group(context.Context) ([]command, error) {
	if len(p.groups) == 0 {
		p.step = streamEnd
		return []command{}, nil
	}
	name := p.groups[0]
	g := p.info.groups[name]
	create := command{"XGROUP", "CREATE", p.to, name, g.last}
	if read, ok := p.info.read[name]; ok && p.counts() {
		create = append(create, "ENTRIESREAD", read)
	}
	out := []command{create}
	for _, consumer := range slices.Sorted(maps.Keys(g.consumers)) {
		if g.consumers[consumer] == 0 {
			out = append(out, p.idleConsumer(name, consumer))
		}
	}
	p.step, p.at = streamPending, "-"
	if g.pending == 0 {
		p.groups, p.step = p.groups[1:], streamGroups
	}
	return out, nil
}

// idleConsumer makes a consumer for whom nothing is pending. For servers before XGROUP CREATECONSUMER (6.2), reading what
// is pending for it, nothing, does.
func (p *streamPieces) idleConsumer(group, consumer string) command {
	if !p.counts() {
		return command{"XREADGROUP", "GROUP", group, consumer, "COUNT", "1", "STREAMS", p.to, "0"}
	}
	return command{"XGROUP", "CREATECONSUMER", p.to, group, consumer}
}

// claims adds a page of a group's pending entries.
func (p *streamPieces) claims(ctx context.Context) ([]command, error) {
	group := p.groups[0]
	page, next, err := p.pendingPage(ctx, group, p.at)
	if err != nil {
		return nil, err
	}
	out := []command{}
	shift := p.c.opt.Shift()
	for _, e := range page {
		out = append(out, command{"XCLAIM", p.to, group, e.consumer, "0", e.id, "TIME", strconv.FormatInt(e.deliveredAt+shift, 10),
			"RETRYCOUNT", strconv.FormatInt(e.deliveries, 10), "FORCE", "JUSTID"})
	}
	if p.at = next; next == "" {
		p.groups, p.step = p.groups[1:], streamGroups
	}
	return out, nil
}

// ends removes what was put for missing entries, and sets the counters that this has changed. Those before the first entry
// were trimmed, as far as anybody can tell: unlike deleting them, that leaves the greatest deleted id alone.
func (p *streamPieces) ends() []command {
	out := []command{}
	if len(p.missing) > 0 && p.counts() {
		if p.first == "" {
			out = append(out, command{"XTRIM", p.to, "MAXLEN", "0"})
		} else {
			out = append(out, command{"XTRIM", p.to, "MINID", p.first})
		}
	}
	for ids := range slices.Chunk(p.missing, pendingAtOnce) {
		del := command{"XDEL", p.to}
		for _, id := range ids {
			del = append(del, id.String())
		}
		out = append(out, del)
	}
	if len(p.missing) == 0 {
		return out
	}
	p.missing = nil
	return append(out, p.numbers())
}

// streamID is an id as two numbers.
type streamID struct{ ms, seq uint64 }

func (a streamID) compare(b streamID) int {
	switch {
	case a == b:
		return 0
	case a.ms < b.ms || a.ms == b.ms && a.seq < b.seq:
		return -1
	}
	return 1
}

func (a streamID) String() string {
	return strconv.FormatUint(a.ms, 10) + "-" + strconv.FormatUint(a.seq, 10)
}

func streamIDOf(text string) (id streamID, err error) {
	ms, seq, ok := strings.Cut(text, "-")
	id.ms, err = strconv.ParseUint(ms, 10, 64)
	if err == nil {
		id.seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if !ok || err != nil {
		return id, fmt.Errorf("%w: stream id %s", errForm, quote(text))
	}
	return id, nil
}
