package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

const (
	// bigValue is the size from which on values are compared with a plain copy instead of DUMP and RESTORE.
	bigValue = 1 << 20
	// bigBytes is how much the big values of a backfill are together.
	bigBytes = 1 << 30
)

// backfilled are the sizes of values that a backfill is measured with: many small ones, and a few big ones.
func (o options) backfilled() []int {
	if o.Quick {
		return []int{usualValue, 1 << 10, 10 << 20}
	}
	return []int{usualValue, 1 << 10, 100 << 20}
}

// backfillKeys is how many keys hold values of a size.
func (o options) backfillKeys(value int) int64 {
	switch {
	case value >= bigValue && o.Quick:
		return max(bigBytes/10/int64(value), 1)
	case value >= bigValue:
		return max(bigBytes/int64(value), 1)
	case value > usualValue:
		return max(o.Keys/4, 1)
	}
	return o.Keys
}

// copyPlain is the yardstick of big values: one after the other, what GET answers becomes the value of a SET while it
// still arrives, so that no value is ever in memory as a whole. It is of strings without an expiry only. It returns the
// number of keys copied.
func copyPlain(ctx context.Context, source, target string) (int, error) {
	scan, err := dial(source)
	if err != nil {
		return 0, err
	}
	defer scan.Close()
	pages := make(chan []string, pagesAhead)
	scanned := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(pages)
		scanned <- scanPages(ctx, scan, pages)
	}()
	var conns [2]net.Conn
	for i, addr := range []string{source, target} {
		if conns[i], err = (&net.Dialer{}).DialContext(ctx, "tcp", addr); err != nil {
			return 0, err
		}
		defer conns[i].Close()
		defer context.AfterFunc(ctx, func() { conns[i].Close() })()
	}
	from, replies := bufio.NewReaderSize(conns[0], 1<<20), bufio.NewReader(conns[1])
	copied := 0
	for page := range pages {
		for _, key := range page {
			if err := copyValue(conns[0], from, conns[1], replies, key); err != nil {
				return copied, fmt.Errorf("plain copy of %s: %w", key, err)
			}
			copied++
		}
	}
	return copied, <-scanned
}

// copyValue hands one value on.
func copyValue(ask io.Writer, from *bufio.Reader, to io.Writer, replies *bufio.Reader, key string) error {
	if _, err := fmt.Fprintf(ask, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key); err != nil {
		return err
	}
	line, err := from.ReadString('\n')
	if err != nil {
		return err
	}
	length, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(line, "$")), 10, 64)
	if err != nil || length < 0 {
		return fmt.Errorf("unexpected reply %.100q", line)
	}
	if _, err := fmt.Fprintf(to, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n", len(key), key, length); err != nil {
		return err
	}
	if _, err := io.CopyN(to, from, length+int64(len("\r\n"))); err != nil {
		return err
	}
	return readReply(replies)
}
