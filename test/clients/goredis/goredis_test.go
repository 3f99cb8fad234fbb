package goredis

import (
	"fmt"
	"testing"

	"tandem/test/clients/stage"
)

func TestMain(m *testing.M) { stage.Main(m) }

func TestGoRedis(t *testing.T) {
	for _, pair := range stage.Pairs(stage.Pair{Source: "redis-7.0", Target: "redis-7.0"}) {
		for _, v := range []protocol{2, 3} {
			t.Run(fmt.Sprintf("%s RESP%d", pair, v), func(t *testing.T) { stage.Play(t, pair, v.parts()...) })
		}
	}
}
