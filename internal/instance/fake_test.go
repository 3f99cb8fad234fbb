package instance

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServer listens for what no real server can be made to do on demand. answer gets the number of the
// command, counted over all connections from 1, and its words; it returns the raw reply, or "" to hang up.
func fakeServer(t *testing.T, answer func(n int, args []string) string) *Instance {
	t.Helper()
	var mu sync.Mutex
	n := 0
	return listen(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			args, err := readCommand(r)
			if err != nil {
				return
			}
			mu.Lock()
			n++
			reply := answer(n, args)
			mu.Unlock()
			if reply == "" {
				return
			}
			if _, err := c.Write([]byte(reply)); err != nil {
				return
			}
		}
	})
}

// listen serves each connection in a goroutine that the test waits for, and gives the Instance for it.
func listen(t *testing.T, serve func(net.Conn)) *Instance {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() }) // runs before the wait
			serving.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	i, err := New(Source, "redis://"+l.Addr().String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func readCommand(r *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	count, err := number()
	if err != nil {
		return nil, err
	}
	args := make([]string, count)
	for i := range args {
		if _, err := number(); err != nil {
			return nil, err
		}
		line, err := r.ReadString('\n') // no argument of these tests has a line end in it
		if err != nil {
			return nil, err
		}
		args[i] = strings.TrimSuffix(line, "\r\n")
	}
	return args, nil
}
