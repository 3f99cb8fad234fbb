package rueidis

import (
	"testing"

	"tandem/test/clients/stage"
)

func TestMain(m *testing.M) { stage.Main(m) }

func TestRueidis(t *testing.T) {
	for _, pair := range stage.Pairs(stage.Pair{Source: "valkey-8.1", Target: "valkey-8.1"}) {
		t.Run(pair.String(), func(t *testing.T) {
			stage.Play(t, pair, append(protocol(2).parts(), protocol(3).parts()...)...)
		})
	}
}
