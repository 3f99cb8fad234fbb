package rueidis

import (
	"fmt"
	"testing"

	"tandem/test/clients/stage"
)

func TestMain(m *testing.M) { stage.Main(m) }

func TestRueidis(t *testing.T) {
	for _, pair := range stage.Pairs(stage.Pair{Source: "valkey-8.1", Target: "valkey-8.1"}) {
		for _, v := range []protocol{2, 3} {
			t.Run(fmt.Sprintf("%s RESP%d", pair, v), func(t *testing.T) { stage.Play(t, pair, v.parts()...) })
		}
	}
}
