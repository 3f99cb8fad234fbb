package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"tandem/test/wire"
)

// pages are large values that are written and read whole: each is one token, again and again. A page that has two has
// been torn.
type pages struct {
	mu      sync.Mutex
	written map[string]outcome // by token
	writes  tally              // of the one writer
	reads   tally
	torn    []string
}

const (
	pageCount   = 3
	pageWriters = 1
	pageReaders = 2
	pageTokens  = 12_000 // at most, of ten bytes each
)

func newPages() *pages { return &pages{written: map[string]outcome{}} }

func (p *pages) name() string { return "pages" }

func (p *pages) prepare(string) error { return nil }

func pageName(i int) string { return "page:" + strconv.Itoa(i) }

func (p *pages) clients() (all []func(*client)) {
	for i := range pageWriters {
		all = append(all, func(c *client) { p.write(c, "g"+strconv.Itoa(i)) })
	}
	for range pageReaders {
		all = append(all, p.read)
	}
	return all
}

func (p *pages) write(c *client, who string) {
	for n := 0; c.going(); n++ {
		t := token(who, n)
		p.note(t, unknown) // a reader may have it before the answer is here
		_, o := c.do("SET", pageName(c.r.IntN(pageCount)), strings.Repeat(t+"\n", 1+c.r.IntN(pageTokens)))
		p.note(t, o)
		p.writes.add(o)
		c.rest(time.Duration(c.r.IntN(400)) * time.Millisecond)
	}
}

func (p *pages) note(t string, o outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written[t] = o
}

func (p *pages) read(c *client) {
	for c.going() {
		key := pageName(c.r.IntN(pageCount))
		page, o := c.do("GET", key)
		p.mu.Lock()
		p.reads.add(o)
		if o == done && !page.Null {
			if wrong := p.look(page.Str); wrong != "" {
				p.torn = append(p.torn, fmt.Sprintf("a client read of %s %s", key, wrong))
			}
		}
		p.mu.Unlock()
		c.rest(time.Duration(c.r.IntN(300)) * time.Millisecond)
	}
}

// look says what is wrong with a page, or nothing.
func (p *pages) look(page string) string {
	t, _, _ := strings.Cut(page, "\n")
	if page != strings.Repeat(t+"\n", strings.Count(page, "\n")) {
		return fmt.Sprintf("a page that is torn: %d bytes, at first %q, at last %q", len(page), t, page[max(0, len(page)-20):])
	}
	switch o, known := p.written[t]; {
	case !known:
		return fmt.Sprintf("%q, which was never written", t)
	case o == refused:
		return t + ", which was refused"
	}
	return ""
}

func (p *pages) check(server *wire.Conn) (wrong []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wrong = append(wrong, p.torn...)
	for i := range pageCount {
		page, err := server.Do("GET", pageName(i))
		if err != nil {
			return nil, fmt.Errorf("GET %s: %w", pageName(i), err)
		}
		if page.Null {
			continue // not written yet, or refused all the time
		}
		if text := p.look(page.Str); text != "" {
			wrong = append(wrong, pageName(i)+" is "+text)
		}
	}
	return wrong, nil
}

func (p *pages) summary() string { return fmt.Sprintf("writes %v; reads %v", p.writes, p.reads) }
