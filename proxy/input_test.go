package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"tandem/internal/resp"
)

// Commands arrive as they were sent, wherever they are cut, and what has come of one is put aside and taken up again
// while the rest is awaited. In the end nothing is counted.
func TestCommandsInPiecesArePutAsideAndWhole(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()

	r := rand.New(rand.NewPCG(1, 2))
	var sent [][]byte
	var stream []byte
	for i := range 400 {
		size := r.IntN(300)
		if i%20 == 0 {
			size = r.IntN(5 * readBuffer)
		}
		sent = append(sent, resp.AppendCommand(nil, "SET", fmt.Sprint("key:", i), strings.Repeat("v", size)))
		stream = append(stream, sent[i]...)
	}
	// The next piece is written when the one before was looked at in vain: so every piece is awaited.
	looked := make(chan struct{}, 1)
	written := make(chan struct{})
	defer func() { <-written }()
	defer close(looked)
	go func() {
		defer close(written)
		for len(stream) > 0 {
			n := min(len(stream), 1+r.IntN(1+r.IntN(40000)))
			if _, err := client.Write(stream[:n]); err != nil {
				return
			}
			stream = stream[n:]
			<-looked
		}
	}()

	var in input
	held, aside := 0, 0
	in.init(ours, func(n int) { held += n })
	try := in.try
	in.try = func(fd uintptr) bool {
		done := try(fd)
		if !done {
			if in.stowed != nil {
				aside++
				if in.buf != nil || len(in.stowed) > stowMax || held < len(in.stowed) {
					t.Errorf("%d bytes are put aside, %d counted, and a buffer is kept: %v", len(in.stowed), held, in.buf != nil)
				}
			}
			select {
			case looked <- struct{}{}:
			default:
			}
		}
		return done
	}
	guard := resp.NewGuard(resp.DefaultLimits)
	for got := 0; got < len(sent); {
		if _, err := in.read(guard.Want()); err != nil {
			t.Fatal(err)
		}
		for {
			n, complete, err := guard.Next(in.buf[in.r:in.w])
			if err != nil {
				t.Fatal(err)
			}
			if !complete {
				break
			}
			if raw := in.buf[in.r : in.r+n]; !bytes.Equal(raw, sent[got]) {
				t.Fatalf("command %d came as %.60q", got, raw)
			}
			in.r += n
			got++
		}
	}
	in.giveBack()
	if held != 0 || aside == 0 {
		t.Errorf("%d bytes are counted at the end; put aside %d times", held, aside)
	}
}
