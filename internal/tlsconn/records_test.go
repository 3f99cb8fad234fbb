package tlsconn

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"
	"time"
)

func record(n int) []byte {
	return append([]byte{23, 3, 3, byte(n >> 8), byte(n)}, bytes.Repeat([]byte{byte(n)}, n)...)
}

func TestReadsEndWithTheRecord(t *testing.T) {
	var stream []byte
	sizes := []int{1, 0, 100, 16 << 10, 16<<10 + 256, 3, 2}
	for _, n := range sizes {
		stream = append(stream, record(n)...)
	}
	for name, from := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader,
	} {
		for _, room := range []int{1, 4, 5, 6, 1000, 32 << 10} {
			s := newRecords(from(bytes.NewReader(stream)), nil)
			var got []byte
			ends, at := map[int]bool{}, 0
			for _, n := range sizes {
				at += headerSize + n
				ends[at] = true
			}
			for {
				b := make([]byte, room)
				n, err := s.Read(b)
				for i := len(got) + 1; i < len(got)+n; i++ {
					if ends[i] {
						t.Fatalf("%s, %d at a time: a read goes past the end of a record at %d", name, room, i)
					}
				}
				got = append(got, b[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil || n == 0 {
					t.Fatalf("%s, %d at a time: %d, %v", name, room, n, err)
				}
			}
			if !bytes.Equal(got, stream) {
				t.Fatalf("%s, %d at a time: %d bytes of %d, or others", name, room, len(got), len(stream))
			}
			if s.buf != nil {
				t.Errorf("%s, %d at a time: the buffer is kept", name, room)
			}
		}
	}
}

// TestAwaitSeesAllThatHasCome: what is with crypto/tls already would be waited for in vain.
func TestAwaitSeesAllThatHasCome(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	ours, theirs := pair(t)
	const rounds = 300
	for range rounds {
		var sent []byte
		for range 1 + random.IntN(5) { // each write is a record, or several
			size := random.IntN(100)
			if random.IntN(4) == 0 {
				size = random.IntN(40 << 10)
			}
			piece := bytes.Repeat([]byte{byte(random.Uint32())}, size)
			if _, err := theirs.Write(piece); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, piece...)
		}
		// The other side sends no more before all of it has been read: a wait in vain ends with the deadline.
		_ = ours.SetReadDeadline(time.Now().Add(10 * time.Second))
		var got []byte
		for len(got) < len(sent) {
			if err := ours.Await(nil); err != nil {
				t.Fatalf("waiting with %d of %d bytes read: %v", len(got), len(sent), err)
			}
			b := make([]byte, 1+random.IntN(20<<10))
			n, err := ours.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b[:n]...)
		}
		if !bytes.Equal(got, sent) {
			t.Fatal("other bytes came")
		}
	}
}

func TestAwaitWaitsAndHoldsNothing(t *testing.T) {
	ours, theirs := pair(t)
	_ = ours.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if err := ours.Await(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("with nothing there: %v", err)
	}
	if n, err := ours.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read with nothing there: %d, %v", n, err)
	}
	if ours.below.in.buf != nil {
		t.Error("a silent connection has a buffer")
	}
	_ = ours.SetReadDeadline(time.Time{})
	waited := make(chan error, 1)
	go func() { waited <- ours.Await(nil) }()
	if _, err := theirs.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if n, err := ours.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	theirs.Close()
	if err := ours.Await(nil); err != nil {
		t.Errorf("when the other side has closed: %v", err)
	}
	if _, err := ours.Read(make([]byte, 10)); err != io.EOF {
		t.Errorf("then: %v", err)
	}
	another, _ := pair(t)
	go func() { waited <- another.Await(nil) }()
	another.Close()
	if err := <-waited; err == nil {
		t.Error("it waits on when the connection is closed here")
	}
}
