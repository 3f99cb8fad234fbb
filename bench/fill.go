package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/redis/rueidis"
)

// fillBatch is how many SETs travel in one round trip while a server is filled, and fillBytes bounds their values.
const (
	fillBatch = 2000
	fillBytes = 16 << 20
)

// fill writes keys string values of size bytes under the names that redis-benchmark uses (key:000000000042),
// so that its GETs find them all. The values are random, so that DUMP cannot compress them away, and the
// same for the same seed.
func fill(ctx context.Context, addr string, keys, size int, seed uint64) error {
	client, err := dial(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	random := rand.NewChaCha8([32]byte{0: byte(seed), 1: byte(seed >> 8)})
	each := max(min(fillBatch, fillBytes/size), 1)
	for first := 0; first < keys; first += each {
		batch := make(rueidis.Commands, 0, each)
		for k := first; k < min(first+each, keys); k++ {
			value := make([]byte, size)
			random.Read(value)
			batch = append(batch, client.B().Set().Key(fmt.Sprintf("key:%012d", k)).
				Value(rueidis.BinaryString(value)).Build())
		}
		for _, reply := range client.DoMulti(ctx, batch...) {
			if err := reply.Error(); err != nil {
				return fmt.Errorf("filling %s: %w", addr, err)
			}
		}
	}
	return nil
}

// flush empties a server and returns when its memory is free again.
func flush(ctx context.Context, addr string) error {
	client, err := dial(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Do(ctx, client.B().Flushall().Sync().Build()).Error(); err != nil {
		return fmt.Errorf("emptying %s: %w", addr, err)
	}
	return nil
}

// countKeys is the number of keys in db 0.
func countKeys(ctx context.Context, addr string) (int64, error) {
	client, err := dial(addr)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	n, err := client.Do(ctx, client.B().Dbsize().Build()).AsInt64()
	if err != nil {
		return 0, fmt.Errorf("counting keys of %s: %w", addr, err)
	}
	return n, nil
}
